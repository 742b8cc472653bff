"""Published scores, each with the place where it was printed."""

from __future__ import annotations

from albertkit.hub.known import Score

_GOOGLE = "google-research/albert README"
_ZH = "brightmart/albert_zh README"
_CLUE = "CLUEbenchmark/CLUE README"

_GOOGLE_TASKS = ("average", "SQuAD 1.1", "SQuAD 2.0", "MNLI", "SST-2", "RACE")
_GOOGLE_ROWS = {
    "base-v1": ("80.1", "89.3/82.3", "80.0/77.1", "81.6", "90.3", "64.0"),
    "large-v1": ("82.4", "90.6/83.9", "82.3/79.4", "83.5", "91.7", "68.5"),
    "xlarge-v1": ("85.5", "92.5/86.1", "86.1/83.1", "86.4", "92.4", "74.8"),
    "xxlarge-v1": ("91.0", "94.8/89.3", "90.2/87.4", "90.8", "96.9", "86.5"),
    "base-v2": ("82.3", "90.2/83.2", "82.1/79.3", "84.6", "92.9", "66.8"),
    "large-v2": ("85.7", "91.8/85.2", "84.9/81.8", "86.5", "94.9", "75.2"),
    "xlarge-v2": ("87.9", "92.9/86.4", "87.9/84.1", "87.9", "95.4", "80.7"),
    "xxlarge-v2": ("90.9", "94.6/89.1", "89.8/86.9", "90.6", "96.8", "86.8"),
}
_CLUE_TASKS = ("CLUE classification", "AFQMC", "TNEWS", "IFLYTEK", "CMNLI", "WSC", "CSL")
_CLUE_ROWS = {
    "xxlarge": ("71.04", "75.6", "59.46", "62.89", "83.14", "61.54", "83.63"),
    "xlarge": ("68.92", "69.96", "57.36", "59.50", "81.13", "64.34", "81.20"),
    "large": ("67.91", "74", "55.16", "57.00", "78.77", "62.24", "80.30"),
    "base": ("67.44", "72.55", "55.06", "56.58", "77.58", "64.34", "78.5"),
    "tiny": ("62.61", "69.92", "53.35", "48.71", "70.61", "58.5", "74.56"),
}
_READING_TASKS = ("CLUE reading", "CMRC 2018 test EM", "CHID", "C3")
_READING_ROWS = {
    "xxlarge": ("77.19", "75.15", "83.15", "73.28"),
    "xlarge": ("75.73", "76.30", "80.57", "70.32"),
    "large": ("71.51", "75.95", "74.18", "64.41"),
    "base": ("68.08", "72.90", "71.77", "59.58"),
    "tiny": ("49.05", "53.35", "43.53", "50.26"),
}
_ZH_ROWS = {
    "tiny": (("LCQMC test", "85.4"),),
    "small": (("LCQMC test", "86.0"),),
    "base": (("LCQMC dev/test", "87.2/86.3"), ("XNLI dev/test", "77.0/77.1")),
    "base-36k": (("LCQMC dev/test", "87.8/86.3"),),
    "large": (
        ("LCQMC dev/test", "88.7/87.1"),
        ("XNLI dev/test", "78.0/77.5"),
        ("CMRC 2018 dev F1/EM, mean", "87.860/67.754"),
    ),
    "xlarge": (
        ("LCQMC dev/test, one run", "87.3/87.7"),
        ("CMRC 2018 dev F1/EM, mean", "88.657/68.897"),
    ),
}


def english(size: str) -> tuple[Score, ...]:
    """Dev scores of google's table: F1/EM for SQuAD, accuracy for the rest. size: "base-v1"."""
    where = f"{_GOOGLE} (dev, single model)"
    return _scores(_GOOGLE_TASKS, _GOOGLE_ROWS[size], where)


def clue(size: str) -> tuple[Score, ...]:
    """CLUE's leaderboard. google's weights from base to xxlarge, brightmart's tiny.

    CLUE filtered IFLYTEK and TNEWS with albert_tiny, which lowers tiny's own score there.
    """
    who = "albert_tiny, the file is not named" if size == "tiny" else f"ALBERT-{size} of google"
    first = _scores(_CLUE_TASKS, _CLUE_ROWS[size], f"{_CLUE} ({who})")
    # The reading table does not say whose weights they are.
    return first + _scores(
        _READING_TASKS, _READING_ROWS[size], f"{_CLUE} (reading table, ALBERT-{size})"
    )


def brightmart(size: str) -> tuple[Score, ...]:
    """Scores of albert_zh's own README. size: "base-36k" has 36,000 more steps."""
    where = f"{_ZH} (one of two xlarge, not named)" if size == "xlarge" else _ZH
    return tuple(Score(task, value, where) for task, value in _ZH_ROWS[size])


def _scores(tasks: tuple[str, ...], values: tuple[str, ...], where: str) -> tuple[Score, ...]:
    return tuple(Score(t, v, where) for t, v in zip(tasks, values, strict=True))

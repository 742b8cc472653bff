"""Texts that show an engine which numbers a model computes, before it takes int8."""

from __future__ import annotations

from pathlib import Path

from albertkit.data.batch import Batch
from albertkit.errors import PredictionError
from albertkit.text.tokenizer import Tokenizer

MAX_LINES = 256
_AT_ONCE = 8
# Written for this, of several kinds: news, instructions, talk, figures, questions.
_ENGLISH = (
    "The council voted on Tuesday to repair the old bridge before winter.",
    "Mix the flour with two cups of water and let it rest for an hour.",
    "I have never seen a film that made me laugh and cry so much.",
    "Revenue rose by 12.5 % to 340 million euros in the third quarter of 2023.",
    "Who wrote the first letter, and why was it never sent?",
    "The service was slow, the soup was cold, and nobody said sorry.",
    "Light travels faster than sound, so we see the flash before we hear the thunder.",
    "Please restart the router, wait for a minute, and try to connect again.",
    "Her grandfather built boats on the coast of Norway until he was eighty.",
    "Not bad at all!",
    "The committee, which had met only twice since the election, could not agree on who should "
    "lead the inquiry, how long it should take, or whether its report would be made public.",
    "In 1887 the town had 4,210 inhabitants, two schools, a mill and a railway station.",
    "He looked at the map, then at the sky, and decided to stay where he was.",
    "This phone is light and fast, but its battery hardly lasts a day.",
    "A cell takes in sugar and oxygen and gives off water, heat and carbon dioxide.",
    "Can I return the shoes if they do not fit?",
)
_CHINESE = (
    "市政府周二决定在冬天之前修好这座旧桥。",
    "把面粉和两杯水混合，静置一个小时。",
    "这部电影让我又哭又笑，值得再看一遍。",
    "第三季度营业收入增长百分之十二点五，达到三亿四千万元。",
    "第一封信是谁写的？为什么一直没有寄出？",
    "服务很慢，汤也是凉的，没有人道歉。",
    "光比声音传播得快，所以我们先看见闪电，后听见雷声。",
    "请重新启动路由器，等一分钟后再试着连接。",
    "她的祖父在海边造船，一直干到八十岁。",
    "还不错！",
    "委员会自选举以来只开过两次会，对于由谁主持调查、调查需要多长时间以及报告是否公开，意见始终不一致。",
    "1887年，这个镇有4210名居民、两所学校、一座磨坊和一个火车站。",
    "他看了看地图，又看了看天空，决定留在原地。",
    "这款手机又轻又快，可是电池连一天都用不到。",
    "细胞吸收糖和氧气，放出水、热量和二氧化碳。",
    "鞋子不合脚可以退货吗？",
)


def sample_texts(tokenizer: Tokenizer) -> list[str]:
    """Texts of ours that a tokenizer knows: English, Chinese or both."""
    found: list[str] = []
    for texts in (_ENGLISH, _CHINESE):
        ids = [i for encoding in tokenizer.encode_batch(texts) for i in encoding.ids]
        if ids.count(tokenizer.unk_id) < len(ids) / 4:
            found += texts
    return found or [*_ENGLISH, *_CHINESE]


def calibration_batches(
    tokenizer: Tokenizer | None, file: str | Path | None, max_tokens: int
) -> list[Batch]:
    """Batches of the first lines of a file, or of texts of ours.

    Raises:
        PredictionError: no tokenizer, or a file that cannot be read or has no text.
    """
    if tokenizer is None:
        raise PredictionError(
            "int8 needs texts to calibrate with, and this model has no tokenizer.",
            expected="a vocabulary beside the weights",
            found="none",
            fix="open a model with a tokenizer, or use precision='fp32'",
            command_fix="open a model with a tokenizer, or give --precision fp32",
        )
    texts = sample_texts(tokenizer) if file is None else read_texts(file)[:MAX_LINES]
    encodings = tokenizer.encode_batch(texts, max_tokens=max_tokens)
    return [
        Batch.of(encodings[begin : begin + _AT_ONCE])
        for begin in range(0, len(encodings), _AT_ONCE)
    ]


def read_texts(file: str | Path) -> list[str]:
    """The lines of a file that are not empty.

    Raises:
        PredictionError: it cannot be read or has no text.
    """
    file = Path(file)
    try:
        found = [line.strip() for line in file.read_text(encoding="utf-8").split("\n")]
    except (OSError, UnicodeDecodeError) as error:
        raise PredictionError(
            "The file of texts cannot be read.",
            expected="UTF-8, a text on each line",
            found=str(error),
            where=file,
            fix="check the path",
        ) from error
    texts = [line for line in found if line]
    if not texts:
        raise PredictionError(
            "There are no texts in this file.",
            expected="a text on each line",
            found="none",
            where=file,
            fix="give a file with a hundred texts like those that the model will read",
        )
    return texts

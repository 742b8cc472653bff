"""albertkit: the maintained home of ALBERT, English and Chinese, tiny to xxlarge."""

__version__ = "0.1.0"

"""Texts that show where a tokenizer is weak: numbers, words it has never seen, Korean.

They are made here, so that an audit means the same wherever it is run; prose and code come from corpora.
"""

import random
from collections.abc import Iterable

import regex

_WORD = regex.compile(r"(?<!\p{L})[A-Za-z]{4,}(?!\p{L})")
_NUM_LINES = 400

KOREAN = (
    "작은 언어 모델을 처음부터 만들어 보는 일은 생각보다 재미있다. 먼저 글을 조각으로 나누고, 조각마다 번호를 붙인다. "
    "번호로 바뀐 글을 모델에게 보여 주면 모델은 다음에 올 조각을 짐작한다. 처음에는 거의 틀리지만 조금씩 나아진다. "
    "한글 한 글자는 세 바이트이므로, 한국어를 배우지 않은 토크나이저는 글자 하나를 세 조각으로 자른다. "
    "그러면 같은 내용을 적는 데 영어보다 훨씬 긴 번호 줄이 필요하고, 모델이 한 번에 볼 수 있는 글은 그만큼 짧아진다. "
    "오늘 오후 3시 30분에 서울에서 부산까지 기차를 타면 2시간 40분쯤 걸리고, 표 값은 59,800원이다. "
    "“정말이에요?” 하고 아이가 물었다. 할머니는 웃으며 고개를 끄덕이셨다. ㅋㅋㅋ 진짜 좋다!! 다음에 또 올게요~"
)

SAMPLE_LINE = (
    "def total(x):\n\t\treturn x + 12345678  # in 2048, naïve tokenizers aren't ready\n\n\n한국어 3.14159"
)


def numbers(seed: int = 0) -> str:
    """Lines of dates, times, prices, sums, addresses and constants."""
    rng = random.Random(seed)

    def digits(count: int) -> str:
        return "".join(rng.choices("0123456789", k=count))

    lines = []
    for _ in range(_NUM_LINES):
        a, b = rng.randrange(10 ** rng.randrange(1, 9)), rng.randrange(10 ** rng.randrange(1, 9))
        lines += [
            f"{a} + {b} = {a + b}",
            f"{a} * {b} = {a * b}",
            f"{rng.randrange(1900, 2100)}-{rng.randrange(1, 13):02}-{rng.randrange(1, 29):02} "
            f"{rng.randrange(24):02}:{digits(2)}:{digits(2)}",
            f"total: {a:,}.{digits(2)} (up {rng.random() * 100:.1f} %), account {digits(12)}",
            f"192.168.{rng.randrange(256)}.{rng.randrange(256)}:{digits(4)}  {rng.random():.17f}  {rng.random():.3e}",
        ]
    return "\n".join(lines) + "\n"


def unseen_words(texts: Iterable[str], seen: Iterable[str]) -> list[str]:
    """The different words of some texts that occur nowhere in the others, in order of the alphabet.

    Words of four or more Latin letters: one script, so that bytes per token compare with those of prose.

    >>> unseen_words(["a rarely heard word"], ["heard the word"])
    ['rarely']
    """
    known = {word for text in seen for word in _WORD.findall(text)}
    return sorted({word for text in texts for word in _WORD.findall(text)} - known)

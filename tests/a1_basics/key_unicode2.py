"""Keys of unicode2: Python's own codecs judge."""

from tests.harness.keys import Check, Given, number

TEXT = "naïve 🙂"
BY_CHARACTER = "not it: write down what each of its seven characters takes, and add it up"


def misread(answer: bytes, given: Given) -> str:
    """Valid as a whole, and wrong or refused byte by byte."""
    try:
        whole = answer.decode("utf-8")
    except UnicodeDecodeError:
        return "it has to be valid UTF-8 as a whole; only the decoder is at fault"
    one_by_one = []
    for byte in answer:
        try:
            one_by_one.append(bytes([byte]).decode("utf-8"))
        except UnicodeDecodeError:
            return ""
    return (
        ""
        if "".join(one_by_one) != whole
        else "byte by byte this comes out right: every character has one byte"
    )


def never_valid(answer: bytes, given: Given) -> str:
    """Two bytes that are no text."""
    if len(answer) != 2:
        return f"two bytes are asked for, not {len(answer)}"
    try:
        answer.decode("utf-8")
    except UnicodeDecodeError:
        return ""
    return "these two bytes are valid UTF-8: look at what a first byte promises about the next"


CHECKS: dict[str, Check] = {
    "utf8_bytes": number(
        lambda _: len(TEXT.encode("utf-8")),
        {
            "characters, where bytes are asked for": lambda _: len(TEXT),
            "one character of it is not ASCII and two bytes long, another one is longer": lambda _: (
                len(TEXT.encode("utf-8")) - 1
            ),
        },
        BY_CHARACTER,
    ),
    "utf16_bytes": number(
        lambda _: len(TEXT.encode("utf-16-le")),
        {
            "without the byte order mark": lambda _: len(TEXT.encode("utf-16")),
            "one character lies beyond U+FFFF and needs a pair of units": lambda _: 2 * len(TEXT),
        },
        BY_CHARACTER,
    ),
    "utf32_bytes": number(
        lambda _: len(TEXT.encode("utf-32-le")),
        {"without the byte order mark": lambda _: len(TEXT.encode("utf-32"))},
        BY_CHARACTER,
    ),
    "misread_bytes": misread,
    "never_valid_bytes": never_valid,
}

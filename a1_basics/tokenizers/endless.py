"""Where a pre-token may be cut whose end has not come yet, so that an endless one takes constant memory.

Merging looks far: whether two bytes join can depend on a byte much further on. But each step merges the lowest rank, of
equal ones the leftmost; and while no merge crosses a place, the lowest rank of all is also the lowest of its own side.
So both sides go through the same steps as if each stood alone. Three laws follow, for any list of merges.

1. Tokens are the encoding of their text exactly when each two neighbours are the encoding of theirs: the first merge
   that crosses a place between two of them would come, after the same steps, when these two are encoded alone.
2. So where the encoding of a word has a boundary, what stands before it is encoded as if it stood alone, and so is what
   stands after it.
3. No token is longer than the longest one. So however a word goes on, its encoding has a boundary among the last
   `longest` bytes that we have seen, and up to there it is the encoding of that beginning.

A place may therefore be cut when it is a boundary in the encodings of all those beginnings. By law 2 each of them needs
only the last few tokens to be looked at: the time is linear in the word.

Source: [berglund-2023] asks the same question. The laws above are argued here, and tested on random merges.
"""

from collections.abc import Callable
from itertools import accumulate

_TRIES = 16  # places that are tried, from the last one back, before waiting for more text


def settled(word: str, tokens_of: Callable[[bytes], list[bytes]], longest_bytes: int) -> int:
    """How many characters from the beginning of a word are encoded alike however the word goes on; 0: none known.

    `tokens_of` encodes a part of a word. The word's last character may still leave it, as the last blank of a run
    leaves for the word that follows.

    >>> settled("ababababababababab ", lambda part: [part[i : i + 2] for i in range(0, len(part), 2)], 2)
    6
    """
    data = word[:-1].encode("utf-8")
    # Two characters at least stay, for a lone sign may join what follows: an apostrophe becomes "'s".
    last = len(data) - 2 * longest_bytes - 8
    tokens = tokens_of(data[:last].decode("utf-8", "ignore").encode("utf-8")) if last > 0 else []
    places = [*accumulate(map(len, tokens))]
    tried = 0
    for place, before in zip(reversed(places), reversed(tokens), strict=True):
        if data[place] & 0xC0 == 0x80:  # the middle of a character
            continue
        tried += 1
        endings = range(len(data) - longest_bytes + 1, len(data) + 1)
        after = {tokens_of(data[place:end])[0] for end in endings}
        if all(tokens_of(before + token) == [before, token] for token in after):
            return len(data[:place].decode("utf-8"))
        if tried == _TRIES:
            break
    return 0

"""Who holds which page of a cache: counting and sharing, no tensors.

A page holds the keys and values of `page_size` tokens. A sequence's block table lists its pages in order. Sequences
that begin alike share their pages as long as nobody writes to them; a shared page is copied before it is written to.

Full pages are found again by what was read up to their end: a page's content depends on every token before it, so the
name of a page is the digest of its tokens and of the name of the page before it. A page that nobody holds keeps its
name until it is needed for something else, the longest unused first.

Source: [paged-attention-2023] sections 4.2 and 4.4.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np


class OutOfPages(Exception):
    """All pages are held; somebody has to give some back first."""


class PagePool:
    """Counts, for each page, how many hold it. Conserved: free + kept for their names + held = all."""

    def __init__(self, num_pages: int, page_size: int) -> None:
        if num_pages < 1 or page_size < 1:
            raise ValueError(f"{num_pages} pages of {page_size} tokens; wanted at least one of each")
        self.page_size = page_size
        self.holders = [0] * num_pages
        self._free = list(range(num_pages))[::-1]
        self._unused: OrderedDict[int, None] = OrderedDict()  # nobody holds them; by name they can be found
        self._page_of: dict[bytes, int] = {}
        self._name_of: dict[int, bytes] = {}

    @property
    def num_pages(self) -> int:
        return len(self.holders)

    @property
    def num_available(self) -> int:
        """Pages that `take` can still give."""
        return len(self._free) + len(self._unused)

    def pages_for(self, length: int) -> int:
        """Pages that hold this many tokens."""
        return -(-length // self.page_size)

    def take(self) -> int:
        """A page for one holder.

        Raises:
            OutOfPages: none is left.
        """
        if self._free:
            page = self._free.pop()
        elif self._unused:
            page, _ = self._unused.popitem(last=False)
            del self._page_of[self._name_of.pop(page)]
        else:
            raise OutOfPages(f"all {self.num_pages} pages are held")
        self.holders[page] = 1
        return page

    def share(self, page: int) -> None:
        """One more holder of a page that somebody holds."""
        if not self.holders[page]:
            raise ValueError(f"nobody holds page {page}")
        self.holders[page] += 1

    def give_back(self, page: int) -> None:
        """One holder less."""
        if not self.holders[page]:
            raise ValueError(f"page {page} was given back before")
        self.holders[page] -= 1
        if not self.holders[page]:
            if page in self._name_of:
                self._unused[page] = None
            else:
                self._free.append(page)

    def name(self, page: int, name: bytes) -> None:
        """Let a full page be found; where another page has the name already, that one is found."""
        if name not in self._page_of and page not in self._name_of:
            self._page_of[name], self._name_of[page] = page, name

    def find(self, name: bytes) -> int | None:
        """The page of this name, held once more; None where there is none."""
        page = self._page_of.get(name)
        if page is None:
            return None
        self._unused.pop(page, None)
        self.holders[page] += 1
        return page

    def forget_names(self) -> None:
        """No page can be found any more: what they hold is no longer what would be computed."""
        self._free.extend(self._unused)
        self._unused.clear()
        self._page_of.clear()
        self._name_of.clear()


class BlockTable:
    """The pages of one sequence."""

    def __init__(self, pool: PagePool) -> None:
        self._pool = pool
        self.pages: list[int] = []
        self._named = 0  # full pages that were given their names
        self._last_name = b""

    def reserve(self, length: int, writes_from: int) -> list[tuple[int, int]]:
        """Room for `length` tokens, those from `writes_from` on to be written.

        Pages that are written and that others hold as well are replaced; (old, new) of each, whose content the caller
        copies. Taken are all that are needed, or none.

        Raises:
            OutOfPages: not enough are left.
        """
        size = self._pool.page_size
        shared = [
            number
            for number in range(writes_from // size, min(len(self.pages), self._pool.pages_for(length)))
            if self._pool.holders[self.pages[number]] > 1
        ]
        missing = max(0, self._pool.pages_for(length) - len(self.pages))
        if missing + len(shared) > self._pool.num_available:
            raise OutOfPages(f"{missing + len(shared)} pages are wanted, {self._pool.num_available} are left")
        copies = []
        for number in shared:
            old, new = self.pages[number], self._pool.take()
            copies.append((old, new))
            self._pool.give_back(old)
            self.pages[number] = new
        self.pages += [self._pool.take() for _ in range(missing)]
        return copies

    def share_prefix(self, tokens: Sequence[int], at_most: int) -> int:
        """Begin with the pages of others that read the same tokens; how many of `tokens` need not be read again."""
        size = self._pool.page_size
        while (len(self.pages) + 1) * size <= at_most:
            start = len(self.pages) * size
            name = page_name(self._last_name, tokens[start : start + size])
            page = self._pool.find(name)
            if page is None:
                break
            self.pages.append(page)
            self._named, self._last_name = self._named + 1, name
        return len(self.pages) * size

    def name_full_pages(self, tokens: Sequence[int], length: int) -> None:
        """Let others find the pages that hold the first `length` of these tokens."""
        size = self._pool.page_size
        for number in range(self._named, length // size):
            self._last_name = page_name(self._last_name, tokens[number * size : (number + 1) * size])
            self._pool.name(self.pages[number], self._last_name)
            self._named = number + 1

    def fork(self, length: int) -> "BlockTable":
        """A table of the pages that hold the first `length` tokens, for a sequence that goes on from there."""
        other = BlockTable(self._pool)
        other.pages = self.pages[: self._pool.pages_for(length)]
        for page in other.pages:
            self._pool.share(page)
        return other

    def free(self) -> None:
        """Give all pages back, the last first: of a prefix, its beginning is found longest."""
        while self.pages:
            self._pool.give_back(self.pages.pop())
        self._named, self._last_name = 0, b""


def page_name(before: bytes, tokens: Sequence[int]) -> bytes:
    """The name of a page with these tokens after the page named `before`."""
    return hashlib.blake2b(before + np.asarray(tokens, dtype="<i8").tobytes(), digest_size=16).digest()

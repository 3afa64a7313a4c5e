"""The memory of a net in C: which buffers share the same place, because they are never used at
the same time."""

import dataclasses


@dataclasses.dataclass(eq=False)
class Buffer:
    """A part of the memory.

    `arena` is "words" (uint32, also for int32 and bytes), "floats", or of one form of products of
    pixels "planes" (uint32) or "sums" (uint16); `n` are its elements; it is used from the step
    `first` to the step `last`; `at` is its place, found by `plan`.
    """

    arena: str
    n: int
    first: int
    last: int
    at: int = -1

    @property
    def token(self):
        """The text that stands for the place until it is known."""
        return f"@{id(self)}@"


def plan(buffers):
    """Find a place for each buffer; return the elements of each arena, by name.

    The largest buffers come first; each gets the first gap among those in use at the same time.
    """
    sizes = {}
    for own in sorted(buffers, key=lambda own: (-own.n, own.first)):
        overlapping = [
            other
            for other in buffers
            if other.arena == own.arena
            and other.at >= 0
            and other.first <= own.last
            and own.first <= other.last
        ]
        at = 0
        for other in sorted(overlapping, key=lambda other: other.at):
            if at + own.n <= other.at:
                break
            at = max(at, other.at + other.n)
        own.at = at
        sizes[own.arena] = max(sizes.get(own.arena, 0), at + own.n)
    return sizes

"""The masks of edge-popup: the largest entries of each of many tensors, chosen without sorting them.

Sorting a tensor costs ten to a hundred times the gradient step it serves. Yet only one number is needed: a
threshold that exactly as many entries reach as are to be kept. Floats order like integers made of their bits, so
the threshold is an integer, and counting the entries that reach a candidate is one pass over the tensor.

The search is a bracketing one. A sample of some entries gives a narrow bracket; inside it the count is nearly linear
in the value, so that interpolation leaves some dozen entries in it after a few passes. These are looked up in the few
rows that have them, which is a fraction of a pass. Whatever the entries are, bisection ends the search after at most
32 further passes. Equal entries at the threshold are told apart by their index. The tensors of a network are searched
together, a threshold each, so that a network of fifty kernels takes as many passes, and as long to compile, as one of
a single kernel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from speedup.errors import UnitError, UnknownNameError, suggestion

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Rank: TypeAlias = Literal["abs", "raw"]
"""What is ranked: the absolute value of a score (Ramanujan et al.) or the score itself (Viviano)."""

_RANKS = get_args(Rank)
_MAGNITUDE = 0x7FFFFFFF
_NAN = 0x7F800001  # the key of every NaN, the next integer after infinity's bits
_PADDING = -0x7FFFFFFF  # the key of no entry at all, below every other
_LANES, _WIDTH = 32, 64
_ROW = _LANES * _WIDTH
_SAMPLE, _RUN = 512, 16
_INTERPOLATIONS, _MOST_TURNS = 8, 64
_REST = 64
"""Entries of a bracket, at most, that are looked up instead of searched for."""
_FEW, _LARGE = 4, 2**22


class _Bracket(NamedTuple):
    """Keys between which each tensor's threshold lies, and how many of its entries reach them.

    ``below`` entries reach ``low``, at least as many as are kept; ``above`` reach ``high``, at most as many.
    ``reach_low`` and ``reach_high`` have the same of each row.
    """

    low: jax.Array
    below: jax.Array
    high: jax.Array
    above: jax.Array
    reach_low: jax.Array
    reach_high: jax.Array


_State: TypeAlias = tuple[_Bracket, jax.Array, jax.Array]


def select_top(scores: jax.Array, kept: int, *, rank: Rank = "abs") -> jax.Array:
    r"""Return the mask of the ``kept`` largest scores.

    It is the mask of a stable ascending sort whose first :math:`n - \text{kept}` places are set to zero: among
    equal scores the later index survives. Zeros of either sign are equal, a NaN is larger than infinity, and all
    NaNs are equal.

    Args:
        scores: Any shape; 32-bit floats, or shorter ones.
        kept: How many to keep, between 0 and the number of scores.
        rank: ``abs`` ranks absolute values, ``raw`` the scores themselves.

    Returns:
        Booleans of the shape of ``scores``, exactly ``kept`` of them true.

    Raises:
        UnitError: ``kept`` is out of range, or the scores are no floats of at most 32 bits.
        UnknownNameError: ``rank`` is neither ``abs`` nor ``raw``.

    Example:
        >>> select_top(jnp.array([0.5, -3.0, 0.5, 1.0]), 3).tolist()
        [False, True, True, True]
        >>> select_top(jnp.array([0.5, -3.0, 0.5, 1.0]), 2, rank="raw").tolist()
        [False, False, True, True]
    """
    return select_each([scores], [kept], rank=rank)[0]


def select_each(scores: Sequence[jax.Array], kept: Sequence[int], *, rank: Rank = "abs") -> list[jax.Array]:
    """Return for each tensor the mask of its largest scores; see ``select_top``.

    Args:
        scores: Tensors of any shapes.
        kept: How many to keep of each.
        rank: ``abs`` or ``raw``.

    Returns:
        Booleans, one array a tensor, of its shape.

    Raises:
        UnitError: A number is out of range, or scores are no floats of at most 32 bits.
        UnknownNameError: ``rank`` is neither ``abs`` nor ``raw``.

    Example:
        >>> [mask.tolist() for mask in select_each([jnp.array([1.0, 2.0]), jnp.array([3.0, 4.0, 5.0])], [1, 2])]
        [[False, True], [False, True, True]]
    """
    for tensor, count in zip(scores, kept, strict=True):
        _check(tensor, count, rank)
    masks = [jnp.full(tensor.shape, count > 0) for tensor, count in zip(scores, kept, strict=True)]
    searched = [place for place, tensor in enumerate(scores) if 0 < kept[place] < tensor.size]
    if searched:
        rows = _Rows([scores[place] for place in searched], rank)
        found = rows.masks(*_thresholds(rows, jnp.array([kept[place] for place in searched], jnp.int32)))
        for place, mask in zip(searched, found, strict=True):
            masks[place] = mask.reshape(scores[place].shape)
    return masks


def _check(scores: jax.Array, kept: int, rank: str) -> None:
    if rank not in _RANKS:
        raise UnknownNameError(f'unknown rank "{rank}". {suggestion(rank, _RANKS)}It is "abs" or "raw".')
    if not jnp.issubdtype(scores.dtype, jnp.floating) or scores.dtype.itemsize > 4:
        raise UnitError(f"scores of type {scores.dtype} cannot be ranked; make them float32.")
    if not 0 <= kept <= scores.size:
        raise UnitError(f"kept = {kept} of {scores.size} scores; it must be between 0 and {scores.size}.")


def _key(values: jax.Array, rank: Rank) -> jax.Array:
    # Integers that order as the values do. No float is compared, because devices may take tiny ones for zero.
    bits = lax.bitcast_convert_type(values, jnp.int32)
    size = jnp.minimum(bits & _MAGNITUDE, _NAN)
    if rank == "abs":
        return size
    return jnp.where((bits < 0) & (size < _NAN), -size, size)


def _value(key: jax.Array) -> jax.Array:
    size = lax.bitcast_convert_type(jnp.abs(key), jnp.float32)
    return jnp.where(key < 0, -size, size)


class _Rows:
    """The entries of some tensors in rows of 2048 that each belong to one tensor.

    The keys are made once and put under one another, so that a pass is one operation. Those of a few large tensors
    are made anew in every pass instead: that costs no time, while writing and reading what no cache holds would be a
    good part of a step that is limited by memory.
    """

    def __init__(self, tensors: Sequence[jax.Array], rank: Rank) -> None:
        self.rank = rank
        self.sizes = np.array([tensor.size for tensor in tensors])
        counts = -(-self.sizes // _ROW)
        self.ends = np.cumsum(counts)
        self.starts = self.ends - counts
        self.tensor_of = np.repeat(np.arange(len(tensors)), counts)
        self.flat = [tensor.reshape(-1).astype(jnp.float32) for tensor in tensors]
        large = len(tensors) <= _FEW and self.sizes.sum() > _LARGE
        self.keys = None if large else jnp.concatenate([_padded(self._made(one)) for one in self.flat])

    def _made(self, values: jax.Array) -> jax.Array:
        return _key(values, self.rank)

    def summed(
        self, entry: Callable[[jax.Array, jax.Array], jax.Array], of_tensor: jax.Array, zero: jax.Array
    ) -> jax.Array:
        """Return ``entry(keys, of_tensor)`` summed over each row.

        The sum of 32 slices is written out, because XLA's own reduction of integers takes an entry at a time on a
        CPU, and sums of slices many at once: about ten times as fast.

        Args:
            entry: Function of keys and of what belongs to their tensor.
            of_tensor: A number a tensor.
            zero: Zero, though the compiler must not know it: what it knows not to change in the search's loop, it
                computes before the loop, writes to memory and reads back.
        """
        if self.keys is not None:
            return _row_sums(self.keys, lambda keys: entry(keys, of_tensor[self.tensor_of][:, None]))
        found = []
        for tensor, flat in enumerate(self.flat):
            number, rows = of_tensor[tensor], flat.size // _ROW
            if rows:
                whole = flat[: rows * _ROW].reshape(rows, _ROW)
                found.append(_row_sums(whole, self._entry_of(entry, number), jnp.minimum(zero, 0)))
            if flat.size % _ROW:
                found.append(jnp.sum(entry(self._made(flat[rows * _ROW :]), number))[None])
        return jnp.concatenate(found)

    def _entry_of(
        self, entry: Callable[[jax.Array, jax.Array], jax.Array], number: jax.Array
    ) -> Callable[[jax.Array], jax.Array]:
        return lambda values: entry(self._made(values), number)

    def per_tensor(self, of_rows: jax.Array) -> jax.Array:
        """Return the sums of what each tensor's rows have."""
        tensors = len(self.sizes)
        return jax.ops.segment_sum(of_rows, self.tensor_of, tensors, indices_are_sorted=True)

    def reaching(self, thresholds: jax.Array, zero: jax.Array) -> jax.Array:
        """Return how many entries of each row reach the threshold of its tensor."""
        return self.summed(lambda keys, least: (keys >= least).astype(jnp.int32), thresholds, zero)

    def all_reach(self) -> jax.Array:
        """Return how many entries each row has."""
        lengths = np.full(self.tensor_of.size, _ROW)
        lengths[self.ends - 1] = self.sizes - (self.ends - self.starts - 1) * _ROW
        return jnp.asarray(lengths, jnp.int32)

    def first_where(self, flags: jax.Array, most: int) -> jax.Array:
        """Return the numbers of the first flagged rows of each tensor, that of no row where there are fewer."""
        through = jnp.cumsum(flags.astype(jnp.int32))
        before = through[self.starts] - flags[self.starts]
        wanted = before[:, None] + np.arange(1, most + 1)
        found = jnp.searchsorted(through, wanted)
        return jnp.where(wanted <= through[self.ends - 1][:, None], found, self.tensor_of.size)

    def sample(self) -> jax.Array:
        """Return some keys of each tensor, a row each, ascending."""
        runs = _SAMPLE // _RUN
        # Whole cache lines, because fetching one is what a distant entry costs.
        first = (np.arange(runs) * self.sizes[:, None]) // runs
        places = ((first[..., None] + np.arange(_RUN)) % self.sizes[:, None, None]).reshape(-1, _SAMPLE)
        taken = jnp.stack([flat[own] for flat, own in zip(self.flat, places, strict=True)])
        return jnp.sort(self._made(taken), axis=1)

    def rows(self, numbers: jax.Array) -> jax.Array:
        """Return the keys of some rows of each tensor, in rows and columns behind them; of no row, padding."""
        if self.keys is not None:
            return self.keys.at[numbers].get(mode="fill", fill_value=_PADDING)
        found = []
        for flat, own, start, size in zip(self.flat, numbers, self.starts, self.sizes, strict=True):
            places = (own - start)[:, None] * _ROW + np.arange(_ROW)
            keys = self._made(flat.at[places].get(mode="clip"))
            found.append(jnp.where(places < size, keys, _PADDING))
        return jnp.stack(found)

    def masks(self, thresholds: jax.Array, first: jax.Array) -> list[jax.Array]:
        """Return the entries above each tensor's threshold, and those at it from an index on."""
        masks = []
        for tensor, flat in enumerate(self.flat):
            keys, threshold = self._made(flat), thresholds[tensor]
            from_first = lax.iota(jnp.int32, flat.size) >= first[tensor]
            masks.append((keys > threshold) | ((keys == threshold) & from_first))
        return masks


def _padded(keys: jax.Array) -> jax.Array:
    return jnp.pad(keys, (0, -keys.size % _ROW), constant_values=_PADDING).reshape(-1, _ROW)


def _of_rows(both: Callable[[jax.Array, jax.Array], jax.Array], rows: jax.Array) -> jax.Array:
    """Return the largest or smallest entry of each row, halving them: a CPU reduces one entry at a time."""
    while rows.shape[-1] > 1:
        half = rows.shape[-1] // 2
        rows = both(rows[..., :half], rows[..., half:])
    return rows[..., 0]


def _row_sums(rows: jax.Array, entry: Callable[[jax.Array], jax.Array], zero: jax.Array | int = 0) -> jax.Array:
    total = jnp.zeros((rows.shape[0], _WIDTH), jnp.int32)
    for lane in range(_LANES):
        total += entry(lax.dynamic_slice(rows, (zero, lane * _WIDTH), (rows.shape[0], _WIDTH)))
    return jnp.sum(total, axis=1)


def _thresholds(rows: _Rows, kept: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the key that each tensor's kept entries reach, and the first index kept of those that equal it."""
    bracket = _search(rows, kept)
    threshold = jnp.where(bracket.above == kept, bracket.high, bracket.low)
    tied = (bracket.below != kept) & (bracket.above != kept)
    none = jnp.zeros_like(kept)
    first = lax.cond(
        jnp.any(tied),
        lambda: jnp.where(tied, _first_kept(rows, threshold, kept - bracket.above), none),
        lambda: none,
    )
    return threshold, first


def _search(rows: _Rows, kept: jax.Array) -> _Bracket:
    """Narrow every tensor's bracket until one of its ends is right, or none is between them."""
    lower, upper = _from_sample(rows.sample(), kept / rows.sizes)
    everything = rows.all_reach()
    start = _Bracket(
        jnp.full_like(kept, 0 if rows.rank == "abs" else -_NAN),
        jnp.asarray(rows.sizes, jnp.int32),
        jnp.full_like(kept, _NAN + 1),
        jnp.zeros_like(kept),
        everything,
        jnp.zeros_like(everything),
    )

    def narrowed(bracket: _Bracket, turn: jax.Array) -> _Bracket:
        guess = jnp.where(turn < 2 + _INTERPOLATIONS, _interpolated(bracket, kept), _middle(bracket))
        guess = jnp.where(turn == 0, lower, jnp.where(turn == 1, upper, guess))
        return _narrowed(rows, kept, bracket, jnp.clip(guess, bracket.low + 1, bracket.high - 1), turn)

    def turn_once(state: _State) -> _State:
        # What could not be looked up, as a row has three of a bracket's entries, may be after narrowing it once more.
        # Turns count narrowings alone: bisection must have as many as it needs.
        bracket, turn, looked = state
        look = ~looked & jnp.all(~_open(bracket, kept) | _has_few(bracket))
        bracket = lax.cond(look, lambda: _looked_up(rows, kept, bracket), lambda: narrowed(bracket, turn))
        return _Bracket(*bracket), turn + ~look, look

    def unfinished(state: _State) -> jax.Array:
        return jnp.any(_open(state[0], kept)) & (state[1] < _MOST_TURNS)

    begin = (start, jnp.zeros((), jnp.int32), jnp.zeros((), bool))
    return _Bracket(*lax.while_loop(unfinished, turn_once, begin)[0])


def _from_sample(sample: jax.Array, share: jax.Array) -> list[jax.Array]:
    """Return the keys that a little more, and a little less, than the share kept very probably reach."""
    margin = 3 * jnp.sqrt(_SAMPLE * share * (1 - share)) + 2
    # The k largest of the sample begin at the place S - k of it.
    places = [_SAMPLE * (1 - share) + side * margin for side in (-1, 1)]
    whole = [jnp.clip(place, 0, _SAMPLE - 1).astype(jnp.int32) for place in places]
    return [jnp.take_along_axis(sample, place[:, None], axis=1)[:, 0] for place in whole]


def _open(bracket: _Bracket, kept: jax.Array) -> jax.Array:
    return (bracket.below != kept) & (bracket.above != kept) & (bracket.low != bracket.high - 1)


def _has_few(bracket: _Bracket) -> jax.Array:
    return bracket.below - bracket.above <= _REST


def _narrowed(rows: _Rows, kept: jax.Array, bracket: _Bracket, candidate: jax.Array, turn: jax.Array) -> _Bracket:
    """Count the entries that reach ``candidate``, and put it in the place of one end of each open bracket."""
    low, below, high, above, reach_low, reach_high = bracket
    reach, searching = rows.reaching(candidate, turn), _open(bracket, kept)
    count = rows.per_tensor(reach)
    raised, lowered = searching & (count >= kept), searching & (count < kept)
    return _Bracket(
        jnp.where(raised, candidate, low),
        jnp.where(raised, count, below),
        jnp.where(lowered, candidate, high),
        jnp.where(lowered, count, above),
        jnp.where(raised[rows.tensor_of], reach, reach_low),
        jnp.where(lowered[rows.tensor_of], reach, reach_high),
    )


def _looked_up(rows: _Rows, kept: jax.Array, bracket: _Bracket) -> _Bracket:
    """Close brackets of few entries by looking up these in the rows that have them.

    Rows with more than two of them leave their tensor's bracket open: of a row, its largest and its smallest are found.
    """
    low, below, high, above, reach_low, reach_high = bracket
    inside = reach_low - reach_high
    numbers = rows.first_where(inside > 0, _REST)
    of_row = inside.at[numbers].get(mode="fill", fill_value=0)
    keys = rows.rows(numbers)
    within = (keys >= low[:, None, None]) & (keys < high[:, None, None])
    largest = _of_rows(jnp.maximum, jnp.where(within, keys, _PADDING))
    smallest = _of_rows(jnp.minimum, jnp.where(within, keys, _NAN))
    found = jnp.concatenate([largest, jnp.where(of_row > 1, smallest, _PADDING)], axis=1)
    place = jnp.clip(kept - above - 1, 0, found.shape[1] - 1)
    threshold = jnp.take_along_axis(-jnp.sort(-found, axis=1), place[:, None], axis=1)
    known = _open(bracket, kept) & _has_few(bracket) & jnp.all(of_row <= 2, axis=1)
    return _Bracket(
        jnp.where(known, threshold[:, 0], low),
        jnp.where(known, above + jnp.sum(found >= threshold, axis=1), below),
        jnp.where(known, threshold[:, 0] + 1, high),
        jnp.where(known, above + jnp.sum(found > threshold, axis=1), above),
        reach_low,
        reach_high,
    )


def _interpolated(bracket: _Bracket, kept: jax.Array) -> jax.Array:
    """Return where the count would be right if it were linear in the value; one that brings both ends near.

    Where one end is far nearer than the other, the next candidate would fall on its side again and again: it is put a
    little beyond.
    """
    low, below, high, above, *_ = bracket
    under, over = (below - kept).astype(jnp.float32), (kept - above).astype(jnp.float32)
    near, far = jnp.minimum(under, over), jnp.maximum(under, over)
    beyond = jnp.where(far > 8 * near, jnp.minimum(2 * jnp.sqrt(near) + near / 16 + 1, far / 2), 0)
    share = (under + jnp.where(under < over, beyond, -beyond)) / (under + over)
    start, end = _value(low), _value(high)
    return _key(start + share * (end - start), "raw")


def _middle(bracket: _Bracket) -> jax.Array:
    low, high = bracket.low, bracket.high
    return (low >> 1) + (high >> 1) + (low & high & 1)


def _first_kept(rows: _Rows, threshold: jax.Array, wanted: jax.Array) -> jax.Array:
    """Return the index in its tensor from which on ``wanted`` entries equal the threshold.

    First the row is found, then the place in it.
    """
    zero = jnp.zeros((), jnp.int32)
    per_row = rows.summed(lambda keys, value: (keys == value).astype(jnp.int32), threshold, zero)
    through = jnp.cumsum(per_row)
    from_here = through[rows.ends - 1][rows.tensor_of] - through + per_row
    row = rows.starts + rows.per_tensor((from_here >= wanted[rows.tensor_of]).astype(jnp.int32)) - 1
    # A tensor with fewer such entries than wanted is not tied, and its answer is thrown away.
    row = jnp.clip(row, rows.starts, rows.ends - 1)
    missing = wanted - (from_here[row] - per_row[row])
    equal = (rows.rows(row[:, None])[:, 0] == threshold[:, None]).astype(jnp.int32)
    remaining = jnp.cumsum(equal[:, ::-1], axis=1)[:, ::-1]
    place = jnp.sum(remaining >= missing[:, None], axis=1, dtype=jnp.int32) - 1
    first: jax.Array = (row - rows.starts) * _ROW + place
    return first

"""Exact order books from absolute quantities per price.

A side is kept by key, key = price for bids and -price for asks, so that the best level always has the largest key. The
keys near the best stand in a dense window of one cell per tick, with a bitmap of the cells in use; every lower key is
in the spill, an ascending list. No key is ever above the window: the window moves up first. Measured best of five
structures on recorded diffs: 0.4 us per diff with the best 20 levels, against 2.6 us for a sorted array.
"""

from __future__ import annotations

import numpy as np

from engine.core.kernel import inlined, kernel
from engine.core.layouts import TOP_LEVELS
from engine.core.words import highest_bit, lowest_bit, move, shift_left

WORD = 8
QUANTITY_MAX = 2**62  # sums of levels stop here rather than wrap


@kernel
def spill_put(keys, quantities, book, side, key, quantity):
    """Set (or with quantity 0 delete) a level below the window. A full spill drops its worst level and counts it."""
    count = book.spill_count[side]
    low, high = np.int64(0), count
    while low < high:
        middle = (low + high) >> 1
        if keys[middle] < key:
            low = middle + 1
        else:
            high = middle
    found = low < count and keys[low] == key
    key_at, quantity_at = keys.ctypes.data + WORD * low, quantities.ctypes.data + WORD * low
    if quantity == 0:
        if found:
            rest = WORD * (count - low - 1)
            move(key_at, key_at + WORD, rest)
            move(quantity_at, quantity_at + WORD, rest)
            book.spill_count[side] = count - 1
        return
    if not found:
        if count == keys.shape[0]:
            book.spilled_over += 1
            if low == 0:
                return
            first_key, first_quantity = keys.ctypes.data, quantities.ctypes.data
            move(first_key, first_key + WORD, WORD * (low - 1))
            move(first_quantity, first_quantity + WORD, WORD * (low - 1))
            low -= 1
        else:
            rest = WORD * (count - low)
            move(key_at + WORD, key_at, rest)
            move(quantity_at + WORD, quantity_at, rest)
            book.spill_count[side] = count + 1
    keys[low] = key
    quantities[low] = quantity


@kernel
def move_window(book, side, new_base, window, bits, keys, quantities):
    """Let the window begin at `new_base`; levels that leave it go to the spill, levels it covers come from there."""
    size = window.shape[0]
    shift = new_base - book.base[side]
    if shift > 0:
        for word in range(bits.shape[0]):
            rest = bits[word]
            bits[word] = 0
            while rest != 0:
                bit = lowest_bit(rest)
                rest ^= shift_left(1, bit)
                cell = 64 * word + bit
                quantity = window[cell]
                window[cell] = 0
                if cell < shift:
                    spill_put(keys, quantities, book, side, book.base[side] + cell, quantity)
                else:
                    window[cell - shift] = quantity
                    bits[(cell - shift) >> 6] |= shift_left(1, (cell - shift) & 63)
    else:
        for word in range(bits.shape[0] - 1, -1, -1):
            rest = bits[word]
            bits[word] = 0
            while rest != 0:
                bit = highest_bit(rest)
                rest ^= shift_left(1, bit)
                cell = 64 * word + bit
                quantity = window[cell]
                window[cell] = 0
                window[cell - shift] = quantity
                bits[(cell - shift) >> 6] |= shift_left(1, (cell - shift) & 63)
        count = book.spill_count[side]
        while count > 0 and keys[count - 1] >= new_base:
            count -= 1
            cell = keys[count] - new_base
            window[cell] = quantities[count]
            bits[cell >> 6] |= shift_left(1, cell & 63)
        book.spill_count[side] = count
    book.base[side] = new_base
    book.top_word[side] = (size >> 6) - 1


@inlined
def set_levels(book, side, prices, price_quantities, first, count, window, bits, keys, quantities):
    """Apply absolute levels [first, first + count) to one side."""
    size = window.shape[0]
    base, top = book.base[side], book.top_word[side]
    for i in range(first, first + count):
        key = prices[i] if side == 0 else -prices[i]
        quantity = price_quantities[i]
        cell = key - base
        if cell >= size and quantity != 0:
            move_window(book, side, key - size + (size >> 3), window, bits, keys, quantities)
            base, top = book.base[side], book.top_word[side]
            cell = key - base
        if 0 <= cell < size:
            window[cell] = quantity
            word = cell >> 6
            if quantity != 0:
                bits[word] |= shift_left(1, cell & 63)
                if word > top:
                    top = word
            else:
                bits[word] &= ~shift_left(1, cell & 63)
        elif cell < 0:
            spill_put(keys, quantities, book, side, key, quantity)
    book.top_word[side] = top


@inlined
def read_top(book, side, window, bits, keys, quantities, prices_out, quantities_out):
    """Write the best TOP_LEVELS of one side, best first: quantity of 5, quantity of all of them."""
    size = window.shape[0]
    word = book.top_word[side]
    while word >= 0 and bits[word] == 0:
        word -= 1
    if word < (size >> 7) and book.spill_count[side] > 0:
        # The best sank into the lower half: centre the window again before the spill holds what is wanted most.
        best = book.base[side] + 64 * word + highest_bit(bits[word]) if word >= 0 else keys[book.spill_count[side] - 1]
        move_window(book, side, best - size + (size >> 3), window, bits, keys, quantities)
        word = book.top_word[side]
        while word >= 0 and bits[word] == 0:
            word -= 1
    book.top_word[side] = word if word >= 0 else (size >> 6) - 1
    base = book.base[side]
    count, sum5, total = np.int64(0), np.int64(0), np.int64(0)
    while word >= 0 and count < TOP_LEVELS:
        rest = bits[word]
        while rest != 0 and count < TOP_LEVELS:
            bit = highest_bit(rest)
            rest ^= shift_left(1, bit)
            cell = 64 * word + bit
            key, quantity = base + cell, window[cell]
            prices_out[count] = key if side == 0 else -key
            quantities_out[count] = quantity
            total = min(total + quantity, QUANTITY_MAX)
            count += 1
            if count == 5:
                sum5 = total
        word -= 1
    position = book.spill_count[side] - 1
    while count < TOP_LEVELS and position >= 0:
        prices_out[count] = keys[position] if side == 0 else -keys[position]
        quantities_out[count] = quantities[position]
        total = min(total + quantities[position], QUANTITY_MAX)
        count += 1
        if count == 5:
            sum5 = total
        position -= 1
    if count < 5:
        sum5 = total
    for i in range(count, TOP_LEVELS):
        prices_out[i] = 0
        quantities_out[i] = 0
    return sum5, total


@kernel
def clear(book, side, best_key, window, bits, keys, quantities):
    """Empty one side and place its window so that `best_key` stands an eighth below the upper end."""
    for word in range(bits.shape[0]):
        rest = bits[word]
        while rest != 0:
            bit = lowest_bit(rest)
            rest ^= shift_left(1, bit)
            window[64 * word + bit] = 0
        bits[word] = 0
    book.spill_count[side] = 0
    book.base[side] = best_key - window.shape[0] + (window.shape[0] >> 3)
    book.top_word[side] = (window.shape[0] >> 6) - 1


@kernel
def levels_of(book, side, window, bits, keys, quantities, prices_out, quantities_out):
    """Every level of one side, worst first; the count. For snapshots of the state and for tests."""
    count = np.int64(0)
    for i in range(book.spill_count[side]):
        prices_out[count] = keys[i] if side == 0 else -keys[i]
        quantities_out[count] = quantities[i]
        count += 1
    for word in range(bits.shape[0]):
        rest = bits[word]
        while rest != 0:
            bit = lowest_bit(rest)
            rest ^= shift_left(1, bit)
            cell = 64 * word + bit
            key = book.base[side] + cell
            prices_out[count] = key if side == 0 else -key
            quantities_out[count] = window[cell]
            count += 1
    return count


@kernel
def set_levels_of_side(book, side, levels, window, bits, keys, quantities):
    """Put the levels of `levels_of`, (2, levels), into a cleared side."""
    set_levels(book, side, levels[0], levels[1], 0, levels.shape[1], window, bits, keys, quantities)

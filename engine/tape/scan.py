"""The strict scanner: raw bytes of one frame against its channel's templates.

It accepts exactly what a template says and nothing else; any other byte, a number too long to be exact, or a decimal
finer than the instrument's scale makes it give up, and the slow path reads the frame with orjson instead. Numbers
become whole numbers at the instrument's scale, never floats. It reads at most 64 bytes beyond the frame's end, into
the slack of the batch, and accepts only if the last literal ends exactly at the frame's end.
"""

from __future__ import annotations

import numpy as np

from engine.core import words
from engine.core.decimals import FLOAT_POWERS_OF_TEN, POWERS_OF_TEN
from engine.core.frame import (
    AGGREGATE_FIRST,
    AGGREGATE_LAST,
    ASKS,
    BIDS,
    BUYER_IS_MAKER,
    CHANNEL,
    EVENT_MS,
    FUNDING,
    IN_CANDLES,
    INTEREST,
    KIND,
    KIND_CONTEXT,
    KIND_TRADES,
    LAST_ID,
    NOT_IN_CANDLES,
    ORDER_TYPE,
    PRICE,
    QUANTITY,
    SYMBOL,
    TAKER_BUY,
    TRADE_ID,
    TRADES,
    TRANSACTION_MS,
    UNSET,
)  # fmt: skip
from engine.core.kernel import inlined
from engine.core.minutes import NS_PER_MS, TIME_MS_MAX
from engine.core.words import (
    ALL_BITS,
    ASCII_ZEROS,
    CLOSE_LIST,
    COMMA,
    DOT,
    MINUS,
    digit_mask,
    eight_digits,
    line_mask,
    load8,
    load16,
    load32,
    load64,
    lowest_bit,
    plain_mask,
    quote_mask,
    shift_left,
    shift_right,
)  # fmt: skip
from engine.tape.routes import REJECT, route_of, same_name
from engine.tape.template import (
    HOLE_BOOLEAN,
    HOLE_COIN,
    HOLE_LOOP,
    HOLE_NEXT,
    HOLE_NUMBER,
    HOLE_ORDER_TYPE,
    HOLE_PAIRS,
    HOLE_PRICE,
    HOLE_QUANTITY,
    HOLE_REAL,
    HOLE_SIDE,
    HOLE_SYMBOL,
    HOLE_WORD,
)  # fmt: skip


def _word(text: bytes) -> int:
    return int.from_bytes(text.ljust(8, b"\0"), "little", signed=True)


DIGITS_MAX = 18  # any whole number of 18 digits fits an int64
DECIMALS_MAX = 8
MANTISSA_END = 2**53  # below it a float64 holds every whole number
TRUE, FALSE = _word(b"true"), _word(b"fals")
MARKET, MARKET_MASK = _word(b'MARKET"'), _word(b"\xff" * 7)
INSURANCE, ADL, ADL_MASK = _word(b"INSURANC"), _word(b'ADL"'), _word(b"\xff" * 4)
HEAD_BYTES = 16  # the longest text before the name of a stream
OPEN_LIST = ord("[")
OPEN_PAIR, EMPTY_LIST, BETWEEN_PAIR = _word(b'["'), _word(b"[]"), _word(b'","')
NEXT_PAIR, LAST_PAIR, THREE_BYTES = _word(b'"],'), _word(b'"]]'), 0xFFFFFF


@inlined
def whole_number(address, digits):
    """Value of `digits` (1..18) ASCII digits at `address`."""
    if digits <= 8:
        shift = 64 - 8 * digits
        return eight_digits(shift_left(shift_right(load64(address + digits - 8) ^ ASCII_ZEROS, shift), shift))
    value = np.int64(0)
    position = address
    while digits > 8:
        value = value * 100_000_000 + eight_digits(load64(position) ^ ASCII_ZEROS)
        position += 8
        digits -= 8
    shift = 64 - 8 * digits
    rest = eight_digits(shift_left(shift_right(load64(position + digits - 8) ^ ASCII_ZEROS, shift), shift))
    return value * POWERS_OF_TEN[digits] + rest


@inlined
def decimal(address, mask, decimals):
    """(value * 10^decimals, bytes) of the decimal at `address`; value is REJECT if it is none or finer than the scale.

    mask: digit_mask(address), or the part of an earlier mask that begins here.
    """
    whole = lowest_bit(~mask)
    if whole == 0 or whole + decimals > DIGITS_MAX:
        return np.int64(REJECT), np.int64(0)
    value = whole_number(address, whole) * POWERS_OF_TEN[decimals]
    if load8(address + whole) != DOT:
        return value, whole
    fraction = lowest_bit(~shift_right(mask, whole + 1))
    if fraction == 0 or fraction > DECIMALS_MAX:
        return np.int64(REJECT), np.int64(0)
    digits = (load64(address + whole + 1) ^ ASCII_ZEROS) & shift_right(ALL_BITS, 64 - 8 * fraction)
    if decimals == 0:
        if digits != 0:
            return np.int64(REJECT), np.int64(0)
    else:
        if decimals < 8 and shift_right(digits, 8 * decimals) != 0:
            return np.int64(REJECT), np.int64(0)
        value += eight_digits(shift_left(digits, 64 - 8 * decimals))
    return value, whole + 1 + fraction


@inlined
def real(address):
    """(value, bytes) of the decimal at `address`, which may have a minus; 0 bytes if it is none, or might be inexact.

    The value is what float() makes of the same text, bit for bit: mantissa and power of ten are exact in float64, so
    the one division rounds correctly.
    """
    sign = 1 if load8(address) == MINUS else 0
    begin = address + sign
    mask = digit_mask(begin)
    whole = lowest_bit(~mask)
    if whole == 0 or whole > DIGITS_MAX:
        return 0.0, np.int64(0)
    mantissa = whole_number(begin, whole)
    length, fraction = whole, np.int64(0)
    if load8(begin + whole) == DOT:
        fraction = lowest_bit(~shift_right(mask, whole + 1))
        if fraction == 0 or whole + fraction > DIGITS_MAX:
            return 0.0, np.int64(0)
        mantissa = mantissa * POWERS_OF_TEN[fraction] + whole_number(begin + whole + 1, fraction)
        length = whole + 1 + fraction
    if mantissa >= MANTISSA_END:
        return 0.0, np.int64(0)
    value = float(mantissa) / FLOAT_POWERS_OF_TEN[fraction]
    return (-value if sign else value), sign + length


@inlined
def pairs(position, end, price_decimals, quantity_decimals, prices, quantities):
    """A list of ["price","quantity"] at `position`: (position behind it, levels); REJECT if it is anything else."""
    if load16(position) == EMPTY_LIST:
        return position + 2, np.int64(0)
    if load8(position) != OPEN_LIST:
        return np.int64(REJECT), np.int64(0)
    position += 1
    count = np.int64(0)
    while position < end and count < prices.shape[0] and load16(position) == OPEN_PAIR:
        mask = digit_mask(position + 2)
        price, length = decimal(position + 2, mask, price_decimals)
        if price < 0 or length > 24:
            break
        position += 2 + length
        if load32(position) & THREE_BYTES != BETWEEN_PAIR:
            break
        quantity, size = decimal(position + 3, shift_right(mask, length + 3), quantity_decimals)
        if quantity < 0:
            break
        position += 3 + size
        prices[count] = price
        quantities[count] = quantity
        count += 1
        after = load32(position) & THREE_BYTES
        position += 3
        if after == LAST_PAIR:
            return position, count
        if after != NEXT_PAIR:
            break
    return np.int64(REJECT), count


@inlined
def keep_trade(tape, count, symbol):
    """The trade in the frame's slots becomes row `count` of the fresh trades."""
    frame, row = tape.frame, tape.fresh[count]
    row.symbol = symbol
    row.flag = frame[ORDER_TYPE]
    row.event_ns = (frame[TRANSACTION_MS] if frame[TRANSACTION_MS] >= 0 else frame[EVENT_MS]) * NS_PER_MS
    row.order = frame[TRADE_ID]
    row.price = frame[PRICE]
    row.quantity = frame[QUANTITY]
    row.buy = frame[TAKER_BUY] if frame[BUYER_IS_MAKER] < 0 else 1 - frame[BUYER_IS_MAKER]
    row.count = frame[AGGREGATE_LAST] - frame[AGGREGATE_FIRST] + 1


@inlined
def interpret(tape, first, last, position, end, dialect, symbol):
    """Run one program over the frame's body: (1, symbol) if it fits, else (0, symbol)."""
    frame, operations = tape.frame, tape.operations
    frame[EVENT_MS] = frame[TRANSACTION_MS] = frame[BUYER_IS_MAKER] = frame[LAST_ID] = UNSET
    frame[AGGREGATE_FIRST] = frame[AGGREGATE_LAST] = frame[BIDS] = frame[ASKS] = frame[TRADES] = 0
    frame[ORDER_TYPE] = IN_CANDLES
    price_decimals = quantity_decimals = np.int64(0)
    if symbol >= 0:
        price_decimals = tape.symbols[symbol].price_decimals
        quantity_decimals = tape.symbols[symbol].quantity_decimals
    step = first
    while step < last:
        operation = operations[step]
        if (load64(position) ^ operation.word0) & operation.mask0:
            return 0, symbol
        length = operation.length
        if length > 8:
            if (load64(position + 8) ^ operation.word1) & operation.mask1:
                return 0, symbol
            if length > 16 and (load64(position + 16) ^ operation.word2) & operation.mask2:
                return 0, symbol
        position += length
        if position > end:
            return 0, symbol
        kind = operation.kind
        step += 1
        if kind == HOLE_NUMBER:
            digits = lowest_bit(~digit_mask(position))
            if digits == 0 or digits > DIGITS_MAX or (digits > 1 and load8(position) == words.ZERO):
                return 0, symbol
            value = whole_number(position, digits)
            if operation.slot <= TRANSACTION_MS and value > TIME_MS_MAX:
                return 0, symbol
            frame[operation.slot] = value
            position += digits
        elif kind in (HOLE_PRICE, HOLE_QUANTITY):
            scale = price_decimals if kind == HOLE_PRICE else quantity_decimals
            value, length = decimal(position, digit_mask(position), scale)
            if value < 0:
                return 0, symbol
            frame[operation.slot] = value
            position += length
        elif kind == HOLE_SYMBOL:
            length = tape.symbols[symbol].name_length
            if not same_name(tape.symbols[symbol].name, position, length):
                return 0, symbol
            position += length
        elif kind == HOLE_BOOLEAN:
            word = load32(position)
            if word == TRUE:
                frame[operation.slot] = 1
                position += 4
            elif word == FALSE and load8(position + 4) == 101:  # e
                frame[operation.slot] = 0
                position += 5
            else:
                return 0, symbol
        elif kind == HOLE_PAIRS:
            side = operation.slot
            position, count = pairs(
                position, end, price_decimals, quantity_decimals, tape.level_price[side], tape.level_quantity[side]
            )
            if position < 0:
                return 0, symbol
            frame[BIDS + side] = count
        elif kind == HOLE_ORDER_TYPE:
            word = load64(position)
            if (word ^ MARKET) & MARKET_MASK == 0:
                position += 6
            elif (word ^ ADL) & ADL_MASK == 0:
                frame[ORDER_TYPE] = NOT_IN_CANDLES
                position += 3
            elif word == INSURANCE:
                frame[ORDER_TYPE] = NOT_IN_CANDLES
                position += lowest_bit(~plain_mask(position))
            else:
                return 0, symbol
        elif kind == HOLE_COIN:
            length = lowest_bit(quote_mask(position))
            slot = route_of(tape.routes, dialect, position, length)
            if slot < 0 or tape.routes[slot].channel >= 0:
                return 0, symbol
            symbol = tape.routes[slot].symbol
            price_decimals = tape.symbols[symbol].price_decimals
            quantity_decimals = tape.symbols[symbol].quantity_decimals
            position += length
        elif kind == HOLE_WORD:
            length = lowest_bit(~plain_mask(position))
            while length == 64 and position < end:
                position += 64
                length = lowest_bit(~plain_mask(position))
            position += length
        elif kind == HOLE_SIDE:
            side = load8(position)
            if side != 65 and side != 66:  # A sold, B bought
                return 0, symbol
            frame[operation.slot] = side - 65
            position += 1
        elif kind == HOLE_REAL:
            slow_number, length = real(position)
            if length == 0:
                return 0, symbol
            tape.reals[operation.slot] = slow_number
            position += length
        elif kind == HOLE_LOOP:
            if load8(position) == CLOSE_LIST:
                step = operation.target
        elif kind == HOLE_NEXT:
            item = operation.slot
            count = frame[BIDS + item]
            if item == 2:
                if count >= tape.fresh.shape[0]:
                    return 0, symbol
                keep_trade(tape, count, symbol)
            else:
                if count >= tape.level_price.shape[1]:
                    return 0, symbol
                tape.level_price[item, count] = frame[PRICE]
                tape.level_quantity[item, count] = frame[QUANTITY]
            frame[BIDS + item] = count + 1
            if load8(position) == COMMA:
                position += 1
                step = operation.target
    return (1 if position == end and frame[AGGREGATE_FIRST] <= frame[AGGREGATE_LAST] else 0), symbol


@inlined
def scan(tape, position, end, dialect, answer):
    """Decode the frame at [position, end) into the frame in hand: its channel, or REJECT if no template fits.

    answer: 0, or 1 for the answer to a REST request, which is named by its first line.
    """
    if end - position < 2 * HEAD_BYTES:
        return np.int64(REJECT)
    if answer:
        length = lowest_bit(line_mask(position))
    else:
        head = tape.heads[dialect]
        if load64(position) != head[0] or load64(position + 8) & head[2] != head[1]:
            return np.int64(REJECT)
        position += head[3]
        length = lowest_bit(quote_mask(position))
    slot = route_of(tape.routes, dialect, position, length)
    if slot < 0 or tape.routes[slot].channel < 0:
        return np.int64(REJECT)
    channel, symbol = tape.routes[slot].channel, tape.routes[slot].symbol
    frame = tape.frame
    if tape.channels[dialect, channel, 0] == KIND_CONTEXT:
        for place in range(INTEREST, FUNDING + 1):
            tape.reals[place] = np.nan
    for program in range(tape.channels[dialect, channel, 1], tape.channels[dialect, channel, 2]):
        fits, found = interpret(
            tape, tape.programs[program, 0], tape.programs[program, 1], position + length, end, dialect, symbol
        )
        if fits:
            frame[KIND] = tape.channels[dialect, channel, 0]
            frame[CHANNEL] = channel
            frame[SYMBOL] = found
            if frame[KIND] == KIND_TRADES and frame[TRADES] == 0:
                keep_trade(tape, 0, found)
                frame[TRADES] = 1
            return channel
    return np.int64(REJECT)

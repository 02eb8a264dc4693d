"""A venue that only sends: USD-M combined streams of made-up symbols at a fixed rate, and the REST answers an engine
needs to start. Standard library, so that what it costs is the sending.

    python -I venue.py SYMBOLS RATE LOAD_S CALM_S

Prints {"version", "port"}. The clock starts START_S after the first client has subscribed, or at once for a client
whose path has "listen" in it; after LOAD_S the rate falls to one message a symbol and second, after CALM_S more the
sockets are closed, or as soon as its input ends. A line of JSON tells the end of the load, the last one what was made,
by minute and symbol, and how far the sender itself fell behind.

There is one clock and one set of symbols, whoever listens: a client gets the streams it has subscribed to, from then
on, and the market goes on without it when it dies. Whoever does not read holds up all. Prices and quantities are whole
numbers inside; candles are sums of them and are sent at the close of each minute. Not a market.
"""

import base64
import hashlib
import json
import socket
import sys
import threading
import time

ACCEPT = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
SLICE_S = 0.002
START_S = 1.0  # without another subscription: the client has all it wants
TRADE = (
    b'{"stream":"%(lower)s@aggTrade","data":{"e":"aggTrade","E":%%d,"a":%%d,"s":"%(name)s","p":"%%d.%%02d","q":"%%d.%%03d",'
    b'"f":%%d,"l":%%d,"T":%%d,"m":%%s}}'
)
QUOTE = (
    b'{"stream":"%(lower)s@bookTicker","data":{"e":"bookTicker","u":%%d,"s":"%(name)s","b":"%(bid)s","B":"%%d.%%03d",'
    b'"a":"%(ask)s","A":"%%d.%%03d","T":%%d,"E":%%d}}'
)
DEPTH = (
    b'{"stream":"%(lower)s@depth@100ms","data":{"e":"depthUpdate","E":%%d,"T":%%d,"s":"%(name)s","U":%%d,"u":%%d,"pu":%%d,'
    b'"b":[["%(bid)s","%%d.%%03d"]],"a":[["%(ask)s","%%d.%%03d"]]}}'
)
MARK = (
    b'{"stream":"%(lower)s@markPrice@1s","data":{"e":"markPriceUpdate","E":%%d,"s":"%(name)s","p":"%(bid)s",'
    b'"i":"%(ask)s","r":"0.00010000","T":%%d}}'
)
KLINE = (
    b'{"stream":"%(lower)s@kline_1m","data":{"e":"kline","E":%%d,"s":"%(name)s","k":{"t":%%d,"T":%%d,"s":"%(name)s","i":"1m",'
    b'"f":%%d,"L":%%d,"o":"%%s","c":"%%s","h":"%%s","l":"%%s","v":"%%s","n":%%d,"x":true,"q":"%%s","V":"%%s","Q":"%%s","B":"0"}}}'
)
STREAMS = ("aggTrade", "bookTicker", "depth@100ms", "markPrice@1s", "kline_1m")
TRADES, QUOTES, DEPTHS, MARKS, KLINES = range(len(STREAMS))
PATTERN = b"qtqqdqtqqqdqtqqqqtqd"  # quotes, trades and depth of one round: 60, 25 and 15 of a hundred


def decimal(value, decimals):
    return f"{value // 10**decimals}.{value % 10**decimals:0{decimals}d}".encode()


class Symbol:
    """One symbol: templates with its names in them, its ids, and the candle of the running minute."""

    def __init__(self, index):
        self.name = f"S{index:03d}USDT"
        self.price = 10_000 + 137 * index  # in hundredths
        texts = {
            b"lower": self.name.lower().encode(), b"name": self.name.encode(),
            b"bid": decimal(self.price - 1, 2), b"ask": decimal(self.price + 1, 2),
        }  # fmt: skip
        self.templates = [template % texts for template in (TRADE, QUOTE, DEPTH, MARK, KLINE)]
        self.trade_id, self.update_id, self.state = 1_000_000 * (index + 1), 50_000_000 * (index + 1), index + 1
        self.depth_id = self.update_id
        self.minute, self.sums = -1, None

    def draw(self):
        self.state = (self.state * 1_103_515_245 + 12_345) & 0x7FFFFFFF
        return self.state >> 8

    def trade(self, now_ms):
        self.trade_id += 1
        drawn = self.draw()
        price, quantity, sold = self.price - 1 + drawn % 3, 1 + drawn % 4_000, drawn & 8
        sums = self.sums
        if sums is None or now_ms // 60_000 != self.minute:
            self.minute = now_ms // 60_000
            sums = self.sums = [price, price, price, price, 0, 0, 0, 0, 0, self.trade_id]
        sums[1], sums[2], sums[3] = max(sums[1], price), min(sums[2], price), price
        sums[4] += quantity
        sums[5] += 1
        sums[6] += price * quantity
        if not sold:
            sums[7] += quantity
            sums[8] += price * quantity
        return self.templates[0] % (
            now_ms, self.trade_id, price // 100, price % 100, quantity // 1000, quantity % 1000, self.trade_id,
            self.trade_id, now_ms, b"true" if sold else b"false",
        )  # fmt: skip

    def quote(self, now_ms):
        drawn = self.draw()
        self.update_id += 1
        return self.templates[1] % (
            self.update_id, 1 + drawn % 9, drawn % 1000, 1 + drawn % 7, drawn % 999, now_ms, now_ms
        )  # fmt: skip

    def depth(self, now_ms):
        drawn, before = self.draw(), self.depth_id
        self.update_id += 1
        self.depth_id = self.update_id
        return self.templates[2] % (
            now_ms, now_ms, before + 1, self.depth_id, before, 1 + drawn % 9, drawn % 1000, 1 + drawn % 7, drawn % 999
        )  # fmt: skip

    def mark(self, now_ms):
        return self.templates[3] % (now_ms, now_ms + 3_600_000)

    def kline(self, now_ms):
        """The final candle of the minute that has ended, or None if it had no trade."""
        if self.sums is None:
            return None
        opened, high, low, closed, base, count, quote, buy, buy_quote, first = self.sums
        begin = self.minute * 60_000
        prices = (decimal(price, 2) for price in (opened, closed, high, low))
        volumes = decimal(quote, 5), decimal(buy, 3), decimal(buy_quote, 5)
        span = now_ms, begin, begin + 59_999, first, self.trade_id
        return self.templates[4] % (*span, *prices, decimal(base, 3), count, *volumes)


def framed(payload):
    length = len(payload)
    if length < 126:
        return bytes((0x81, length)) + payload
    return b"\x81\x7e" + length.to_bytes(2, "big") + payload


class Client:
    """One socket. wanted: places of the streams it subscribed to, symbol * len(STREAMS) + stream; None: all."""

    def __init__(self, connection):
        self.connection, self.wanted = connection, set()
        self.writing = threading.Lock()

    def write(self, data):
        with self.writing:
            self.connection.sendall(data)


class Venue:
    def __init__(self, symbols, rate, load_s, calm_s):
        self.symbols = [Symbol(index) for index in range(symbols)]
        self.places = {
            f"{symbol.name.lower()}@{stream}": index * len(STREAMS) + place
            for index, symbol in enumerate(self.symbols)
            for place, stream in enumerate(STREAMS)
        }
        self.rate, self.load_s, self.calm_s = rate, load_s, calm_s
        self.sent = {"messages": 0, "trades": 0, "load_messages": 0, "behind_ms_max": 0.0, "minutes": []}
        self.clients = []
        self.begin, self.over = threading.Event(), threading.Event()
        self.subscribed_at = None  # the newest subscription before the beginning

    def run(self):
        """From the beginning to the account."""
        while not self.begin.wait(SLICE_S) and not self.over.is_set():
            if self.subscribed_at is not None and time.monotonic() - self.subscribed_at >= START_S:
                break
        self.play()
        for client in list(self.clients):
            try:
                client.write(b"\x88\x02\x03\xe8")
                client.connection.shutdown(socket.SHUT_WR)
            except OSError:
                pass
        print(json.dumps(self.sent), flush=True)

    def deliver(self, parts, places):
        """To everybody what they want."""
        self.sent["messages"] += len(parts)
        whole = None
        for client in list(self.clients):
            if client.wanted is None:
                whole = data = whole or b"".join(parts)
            else:
                wanted = client.wanted
                data = b"".join([part for part, place in zip(parts, places, strict=True) if place in wanted])
            try:
                if data:
                    client.write(data)
            except OSError:
                self.forget(client)

    def forget(self, client):
        if client in self.clients:
            self.clients.remove(client)

    def play(self):
        """Send until it is over. The books' quotes are those of the depth: quotes and diffs share one update id."""
        started = time.monotonic()
        due = done = turn = 0
        minute, load_over = time.time_ns() // 60_000_000_000, False
        makers = [(s.trade, s.quote, s.depth) for s in self.symbols]
        kinds = [b"tqd".index(bytes((letter,))) for letter in PATTERN]
        each, count = len(STREAMS), len(self.symbols)
        marked = 0.0
        while not self.over.is_set():
            elapsed = time.monotonic() - started
            if elapsed >= self.load_s + self.calm_s:
                break
            if not load_over and elapsed >= self.load_s:
                load_over = True
                self.sent["load_messages"], self.sent["load_ended_ns"] = done, time.time_ns()
                print(json.dumps({"load_ended_ns": self.sent["load_ended_ns"]}), flush=True)
                started_calm, done_calm = elapsed, done
            now_ms = time.time_ns() // 1_000_000
            due = int(elapsed * self.rate) if not load_over else done_calm + int((elapsed - started_calm) * count)
            parts, places = [], []
            if now_ms // 60_000 != minute:
                minute = now_ms // 60_000
                for index, symbol in enumerate(self.symbols):
                    candle = symbol.kline(now_ms)
                    if candle is not None:
                        self.sent["minutes"].append([symbol.minute, symbol.name, symbol.sums[5], symbol.sums[4]])
                        parts.append(framed(candle))
                        places.append(index * each + KLINES)
                        symbol.sums = None
            if elapsed - marked >= 1.0:
                marked = elapsed
                parts += [framed(symbol.mark(now_ms)) for symbol in self.symbols]
                places += [index * each + MARKS for index in range(count)]
            if not load_over:
                self.sent["behind_ms_max"] = max(self.sent["behind_ms_max"], (due - done) * 1e3 / self.rate)
            for _ in range(min(due - done, 5_000)):
                kind = kinds[turn // count % len(kinds)]
                index = turn % count
                parts.append(framed(makers[index][kind](now_ms)))
                places.append(index * each + kind)
                self.sent["trades"] += kind == TRADES
                turn += 1
                done += 1
            if parts:
                self.deliver(parts, places)
            else:
                time.sleep(SLICE_S)
        self.sent["ended_ns"] = time.time_ns()

    def exchange_info(self):
        filters = [{"filterType": "PRICE_FILTER", "tickSize": "0.01"}, {"filterType": "LOT_SIZE", "stepSize": "0.001"}]
        listed = [
            {
                "symbol": s.name, "pair": s.name, "contractType": "PERPETUAL", "status": "TRADING",
                "baseAsset": s.name[:-4], "quoteAsset": "USDT", "pricePrecision": 2,
                "quantityPrecision": 3, "filters": filters,
            }
            for s in self.symbols
        ]  # fmt: skip
        return {"timezone": "UTC", "serverTime": time.time_ns() // 1_000_000, "rateLimits": [], "symbols": listed}

    def answer(self, target):
        path, _, query = target.partition("?")
        asked = dict(part.partition("=")[::2] for part in query.split("&"))
        now_ms = time.time_ns() // 1_000_000
        if path.endswith("exchangeInfo"):
            return self.exchange_info()
        if path.endswith("depth"):
            symbol = next(s for s in self.symbols if s.name == asked["symbol"])
            bids = [[decimal(symbol.price - 1 - i, 2).decode(), "1.000"] for i in range(20)]
            asks = [[decimal(symbol.price + 1 + i, 2).decode(), "1.000"] for i in range(20)]
            return {"lastUpdateId": symbol.update_id, "E": now_ms, "T": now_ms, "bids": bids, "asks": asks}
        if path.endswith("openInterest"):
            return {"openInterest": "1000.000", "symbol": asked["symbol"], "time": now_ms}
        if path.endswith("fundingInfo"):
            return []
        if path.endswith("time"):
            return {"serverTime": now_ms}
        return []

    def serve(self, client):
        try:
            with client:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                request = b""
                while b"\r\n\r\n" not in request:
                    got = client.recv(65_536)
                    if not got:
                        return
                    request += got
                head = request.partition(b"\r\n\r\n")[0]
                target = head.split(b" ")[1].decode()
                lines = {
                    name.strip().lower(): value.strip()
                    for name, _, value in (line.partition(b":") for line in head.split(b"\r\n")[1:])
                }
                if lines.get(b"upgrade", b"").lower() != b"websocket":
                    body = json.dumps(self.answer(target), separators=(",", ":")).encode()
                    client.sendall(
                        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"
                        b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
                    )
                    return
                accept = base64.b64encode(hashlib.sha1(lines[b"sec-websocket-key"] + ACCEPT).digest())
                client.sendall(
                    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
                )
                self.talk(client, "listen" in target)
        except OSError:
            pass  # the client went away

    def talk(self, connection, all_of_it):
        """Answer pings and subscriptions, while another thread plays."""
        client = Client(connection)
        if all_of_it:
            client.wanted = None
        self.clients.append(client)
        if all_of_it:
            self.begin.set()
        stream = connection.makefile("rb")
        try:
            while True:
                kind, payload = message(stream)
                if kind == 9:
                    client.write(bytes((0x8A, len(payload))) + payload)
                elif kind == 1:
                    asked = json.loads(payload)
                    places = {self.places[name] for name in asked.get("params", []) if name in self.places}
                    if asked.get("method") == "UNSUBSCRIBE":
                        client.wanted -= places
                    else:
                        client.wanted |= places
                    client.write(framed(json.dumps({"result": None, "id": asked.get("id")}).encode()))
                    self.subscribed_at = time.monotonic()
                elif kind == 8:
                    return
        except EOFError:
            pass
        finally:
            self.forget(client)


def message(stream):
    """Kind and payload of a client's frame; EOFError when it is gone."""
    head = stream.read(2)
    if len(head) < 2:
        raise EOFError
    length = head[1] & 127
    if length == 126:
        length = int.from_bytes(stream.read(2), "big")
    elif length == 127:
        length = int.from_bytes(stream.read(8), "big")
    mask = stream.read(4)
    return head[0] & 15, bytes(byte ^ mask[i & 3] for i, byte in enumerate(stream.read(length)))


def main(symbols, rate, load_s, calm_s):
    sys.setswitchinterval(0.0005)
    venue = Venue(int(symbols), float(rate), float(load_s), float(calm_s))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        print(json.dumps({"version": "", "port": listening.getsockname()[1]}), flush=True)

        def accept():
            while True:
                client, _ = listening.accept()
                threading.Thread(target=venue.serve, args=(client,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        player = threading.Thread(target=venue.run)
        player.start()
        sys.stdin.read()
        venue.over.set()
        player.join()


if __name__ == "__main__":
    main(*sys.argv[1:])

"""WebSocket links: the `websockets` library without its own event loop layer, over asyncio transports.

The library does the handshake, the control frames, fragments, closing and every error. A whole text message in one
frame, which is nearly all that venues send, is cut out of the stream here: 0.5 us instead of the library's 3.3 us.
"""

from __future__ import annotations

import asyncio
import ssl
from functools import partial
from typing import Any

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from engine.core.errors import FeedError
from engine.core.ports import Clock, Receiver
from engine.io.feeds.pace import retry_after_s

MESSAGE_BYTES_MAX = 8 << 20  # a longer message ends the link: no venue sends one
WHOLE_TEXT = 0x81  # first byte of a frame that is the last of its message, and text
CLOSE_WAIT_S = 1.0  # for the peer to answer our close
SWITCHING = b"HTTP/1.1 101"
HANDSHAKE_BYTES_MAX = 64 << 10
TOO_BIG = f"a message of more than {MESSAGE_BYTES_MAX >> 20} MiB"


class Sockets:
    """engine.core.ports.Transport. TLS certificates and names are always checked; no proxy, no compression.

    coalesce_ms: after each read of a socket nothing more is read from it for so long; 0: none.
    """

    def __init__(self, clock: Clock, coalesce_ms: float = 0.0, trust: ssl.SSLContext | None = None) -> None:
        self._clock, self._coalesce_s = clock, clock.seconds(coalesce_ms / 1000)
        self._trust = trust

    async def connect(self, url: str, receiver: Receiver, timeout_s: float) -> Socket:
        try:
            uri = parse_uri(url)
        except InvalidURI as error:
            raise FeedError(f"{url}: {error}; expected an address like wss://host/path") from error
        trust = (self._trust or ssl.create_default_context()) if uri.secure else None
        loop = asyncio.get_running_loop()
        socket = Socket(ClientProtocol(uri, max_size=MESSAGE_BYTES_MAX), receiver, self._clock, self._coalesce_s)
        try:
            async with asyncio.timeout(timeout_s):
                host = uri.host if uri.secure else None
                await loop.create_connection(lambda: socket, uri.host, uri.port, ssl=trust, server_hostname=host)
                await socket.opened
        except (TimeoutError, OSError, InvalidHandshake, EOFError) as error:
            socket.abort()
            raise _refusal(url, error, timeout_s) from error
        except asyncio.CancelledError:
            socket.abort()
            raise
        return socket


def _refusal(url: str, error: Exception, timeout_s: float) -> FeedError:
    """One sentence on why there is no link, and what to do."""
    wait_s = 0.0
    if isinstance(error, InvalidStatus):
        status = error.response.status_code
        wait_s = retry_after_s(error.response.headers.get("Retry-After", ""))
        said = f"the server answered {status} instead of opening a WebSocket; check the address"
    elif isinstance(error, TimeoutError):
        said = f"no answer within {timeout_s:g} s; check the network and the address"
    elif isinstance(error, ssl.SSLCertVerificationError):
        said = f"its certificate is not to be trusted ({error.verify_message}); check the address and the host's clock"
    elif isinstance(error, ssl.SSLError):
        said = f"no TLS connection ({error.reason}); check the address and its port"
    elif isinstance(error, InvalidHandshake | EOFError):
        said = f"what answers is no WebSocket server ({error}); check the address"
    else:
        told = error.strerror if isinstance(error, OSError) else ""
        said = f"cannot be reached ({told or error}); check the network and the address"
    return FeedError(f"{url}: {said}", wait_s)


class Socket(asyncio.Protocol):
    """One link: engine.core.ports.Link towards us, an asyncio protocol towards the transport."""

    def __init__(self, protocol: ClientProtocol, receiver: Receiver, clock: Clock, coalesce_s: float) -> None:
        self._protocol, self._receiver, self._clock = protocol, receiver, clock
        self._coalesce_s = coalesce_s
        self._transport: Any = None
        self._tail = b""  # a frame whose end has not come
        self._inside = False  # of a message in several frames
        self._parts: list[bytes] = []
        self._reason = ""
        self._paused = self._ended = False
        self._resuming: asyncio.TimerHandle | None = None
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    # What the transport tells --------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._protocol.send_request(self._protocol.connect())
        self._flush()

    def data_received(self, data: bytes) -> None:
        recv_ns = self._clock.now_ns()
        if self._protocol.state is State.CONNECTING:
            self._shake_hands(data, recv_ns)
        else:
            self._cut(data, recv_ns)
        if self._coalesce_s and not self._paused and self._resuming is None:
            self._transport.pause_reading()
            self._resuming = asyncio.get_running_loop().call_later(self._coalesce_s, self._collected)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.opened.done():
            self._protocol.receive_eof()  # which may be the end of an error page
            self._settle(error or EOFError("it closed the connection before the handshake was complete"))
            return
        if self.opened.exception() is not None:
            return
        self._end(f"connection lost ({error})" if error else "closed by the venue without a word")

    # Reading -------------------------------------------------------------------------------------------------------

    def _shake_hands(self, data: bytes, recv_ns: int) -> None:
        """The answer to our request ends with an empty line; what stands behind it is the stream of frames."""
        told, self._tail = self._tail + data, b""
        head, found, frames = told.partition(b"\r\n\r\n")
        if not told.startswith(SWITCHING[: len(told)]) or len(head) > HANDSHAKE_BYTES_MAX:
            self._hand_over(told, recv_ns)  # an error page, whose end is the library's to find
            return
        if not found:
            self._tail = told
            return
        self._hand_over(head + found, recv_ns)
        if frames and self._protocol.state is State.OPEN:
            self._cut(frames, recv_ns)

    def _cut(self, data: bytes, recv_ns: int) -> None:
        """Whole messages out of a piece of the stream. What is not a whole text message goes to the library."""
        if self._tail:
            data = self._tail + data
        frame = self._receiver.frame
        begin, end = 0, len(data)
        while begin + 2 <= end and not self._ended:
            length = data[begin + 1]
            if length < 126:
                at = begin + 2
            elif length == 126:
                at = begin + 4
                if at > end:
                    break
                length = data[begin + 2] << 8 | data[begin + 3]
            elif length == 127:
                at = begin + 10
                if at > end:
                    break
                length = int.from_bytes(data[begin + 2 : at], "big")
            else:  # masked, which only a client may do: the library has the words for it
                at, length = begin + 2, end - begin - 2
            if length > MESSAGE_BYTES_MAX:
                self.close(TOO_BIG, CloseCode.MESSAGE_TOO_BIG)
                break
            after = at + length
            if after > end:
                break
            if data[begin] == WHOLE_TEXT and not self._inside:
                frame(data[at:after], recv_ns)
            else:
                self._hand_over(data[begin:after], recv_ns)
            begin = after
        self._tail = data[begin:] if not self._ended else b""

    def _hand_over(self, data: bytes, recv_ns: int) -> None:
        """Bytes for the library to judge, and what it makes of them."""
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Frame):
                self._take(event, recv_ns)
        self._flush()
        if not self.opened.done():
            self._settle()
        elif self._protocol.parser_exc is not None:
            self.close(str(self._protocol.parser_exc))
        elif self._protocol.state is State.CLOSING and self._protocol.close_rcvd is not None:
            told = self._protocol.close_rcvd
            self._end(f"closed by the venue: {told.code} {told.reason}".rstrip())

    def _settle(self, lost: Exception | None = None) -> None:
        """Say how the handshake ended, if it did."""
        error = self._protocol.handshake_exc or lost
        if error is not None:
            self.opened.set_exception(error)
            self.opened.exception()  # it may be that nobody waits for it any more
        elif self._protocol.state is State.OPEN:
            self.opened.set_result(None)

    def _take(self, frame: Frame, recv_ns: int) -> None:
        if frame.opcode is Opcode.PONG:
            self._receiver.pong(recv_ns)
        elif frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            self._inside = not frame.fin
            self._parts.append(bytes(frame.data))
            if frame.fin:
                payload, self._parts = b"".join(self._parts), []
                self._receiver.frame(payload, recv_ns)

    # Link ----------------------------------------------------------------------------------------------------------

    def send(self, payload: bytes) -> None:
        if not self._ended and self._protocol.state is State.OPEN:
            self._protocol.send_text(payload)
            self._flush()

    def ping(self) -> None:
        if not self._ended and self._protocol.state is State.OPEN:
            self._protocol.send_ping(b"")
            self._flush()

    def pause(self) -> None:
        self._paused = True
        if self._transport is not None:
            self._transport.pause_reading()

    def resume(self) -> None:
        self._paused = False
        if self._transport is not None and self._resuming is None:
            self._transport.resume_reading()

    def close(self, reason: str, code: int = CloseCode.NORMAL_CLOSURE) -> None:
        if self._ended:
            return
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(code)
            self._flush()
        self._end(reason)

    def abort(self) -> None:
        """Let go of a link that was never open."""
        if self._transport is not None:
            self._transport.abort()

    # Ends ----------------------------------------------------------------------------------------------------------

    def _end(self, reason: str) -> None:
        """Tell it once. The transport has a moment to send what it holds; nobody waits for it."""
        if self._ended:
            return
        self._ended, self._tail = True, b""
        if self._resuming is not None:
            self._resuming.cancel()
        transport = self._transport
        if not transport.is_closing():
            transport.close()
            wait_s = self._clock.seconds(CLOSE_WAIT_S)
            asyncio.get_running_loop().call_later(wait_s, partial(_abort, transport))
        self._receiver.ended(reason)

    def _collected(self) -> None:
        self._resuming = None
        if not self._paused and not self._ended:
            self._transport.resume_reading()

    def _flush(self) -> None:
        if self._transport is None or self._transport.is_closing():
            self._protocol.data_to_send()
            return
        for data in self._protocol.data_to_send():
            if data:
                self._transport.write(data)


def _abort(transport: Any) -> None:
    transport.abort()

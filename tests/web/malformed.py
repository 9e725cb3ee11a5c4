"""Requests that must not reach a route, each with the status of its answer."""

from __future__ import annotations

_H = b"Host: a\r\n"
_POST = b"POST /x HTTP/1.1\r\nHost: a\r\n"
_TE = b"Transfer-Encoding: chunked\r\n"
_CHUNKED = _POST + _TE + b"\r\n"


def _get(line: bytes, fields: bytes = _H) -> bytes:
    return line + b"\r\n" + fields + b"\r\n"


MALFORMED: list[tuple[str, bytes, int]] = [
    # The request line
    ("unknown method", _get(b"BREW / HTTP/1.1"), 400),
    ("lower-case method", _get(b"get / HTTP/1.1"), 400),
    ("method with a control character", _get(b"GE\x00T / HTTP/1.1"), 400),
    ("TLS handshake", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    ("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    ("HTTP/0.9", b"GET /\r\n", 400),
    ("HTTP/0.9 in words", _get(b"GET / HTTP/0.9"), 400),
    ("HTTP/1.2", _get(b"GET / HTTP/1.2"), 400),
    ("HTTP/2.0", _get(b"GET / HTTP/2.0"), 400),
    ("another protocol", _get(b"GET / RTSP/1.0"), 400),
    ("a source client", _get(b"SOURCE / ICE/1.0"), 400),
    ("lower-case protocol", _get(b"GET / http/1.1"), 400),
    ("no version digits", _get(b"GET / HTTP/"), 400),
    ("two spaces before the target", _get(b"GET  / HTTP/1.1"), 400),
    ("two spaces after the target", _get(b"GET /  HTTP/1.1"), 400),
    ("tab before the target", _get(b"GET\t/ HTTP/1.1"), 400),
    ("space at the line's end", _get(b"GET / HTTP/1.1 "), 400),
    ("space before the method", _get(b" GET / HTTP/1.1"), 400),
    ("no target", _get(b"GET HTTP/1.1"), 400),
    ("absolute target", _get(b"GET http://a/ HTTP/1.1"), 400),
    ("asterisk", _get(b"OPTIONS * HTTP/1.1"), 400),
    ("authority target", _get(b"GET a:80 HTTP/1.1"), 400),
    ("CONNECT", _get(b"CONNECT a:443 HTTP/1.1"), 400),
    ("CONNECT with a path", _get(b"CONNECT / HTTP/1.1"), 400),
    ("target without a slash", _get(b"GET x HTTP/1.1"), 400),
    ("fragment", _get(b"GET /a#b HTTP/1.1"), 400),
    ("backslash", _get(b"GET /a\\b HTTP/1.1"), 400),
    ("NUL in the target", _get(b"GET /a\x00b HTTP/1.1"), 400),
    ("UTF-8 in the target", _get(b"GET /caf\xc3\xa9 HTTP/1.1"), 400),
    ("DEL in the target", _get(b"GET /\x7f HTTP/1.1"), 400),
    # Line ends and fields
    ("bare LF after the line", b"GET / HTTP/1.1\nHost: a\r\n\r\n", 400),
    ("bare LF after a field", b"GET / HTTP/1.1\r\nHost: a\n\r\n", 400),
    ("bare LF at the head's end", b"GET / HTTP/1.1\r\nHost: a\r\n\n", 400),
    ("bare CR in a value", _get(b"GET / HTTP/1.1", _H + b"X: a\rb\r\n"), 400),
    ("NUL in a value", _get(b"GET / HTTP/1.1", _H + b"X: a\x00b\r\n"), 400),
    ("DEL in a value", _get(b"GET / HTTP/1.1", _H + b"X: a\x7fb\r\n"), 400),
    ("control character in a value", _get(b"GET / HTTP/1.1", _H + b"X: a\x01b\r\n"), 400),
    ("folded field", _get(b"GET / HTTP/1.1", _H + b"X: a\r\n b\r\n"), 400),
    ("space before the first field", _get(b"GET / HTTP/1.1", b" " + _H), 400),
    ("space before the colon", _get(b"GET / HTTP/1.1", b"Host : a\r\n"), 400),
    ("space within a name", _get(b"GET / HTTP/1.1", _H + b"X Y: a\r\n"), 400),
    ("no colon", _get(b"GET / HTTP/1.1", _H + b"X\r\n"), 400),
    ("empty name", _get(b"GET / HTTP/1.1", _H + b": a\r\n"), 400),
    ("UTF-8 in a name", _get(b"GET / HTTP/1.1", _H + b"caf\xc3\xa9: a\r\n"), 400),
    ("parenthesis in a name", _get(b"GET / HTTP/1.1", _H + b"X(: a\r\n"), 400),
    # Host
    ("no Host", _get(b"GET / HTTP/1.1", b""), 400),
    ("two Hosts", _get(b"GET / HTTP/1.1", _H + _H), 400),
    ("two Hosts of HTTP/1.0", _get(b"GET / HTTP/1.0", _H + _H), 400),
    ("Host with a path", _get(b"GET / HTTP/1.1", b"Host: a/b\r\n"), 400),
    ("Host with a comma", _get(b"GET / HTTP/1.1", b"Host: a,b\r\n"), 400),
    ("Host with a user", _get(b"GET / HTTP/1.1", b"Host: u@a\r\n"), 400),
    ("Host with a space", _get(b"GET / HTTP/1.1", b"Host: a b\r\n"), 400),
    ("Host with an empty label", _get(b"GET / HTTP/1.1", b"Host: a..b\r\n"), 400),
    # Content-Length
    ("length and chunks", _POST + b"Content-Length: 3\r\n" + _TE + b"\r\n0\r\n\r\n", 400),
    ("chunks and length", _POST + _TE + b"Content-Length: 3\r\n\r\n0\r\n\r\n", 400),
    ("two lengths", _POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400),
    ("one length twice", _POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400),
    ("listed length", _POST + b"Content-Length: 3, 3\r\n\r\nabc", 400),
    ("signed length", _POST + b"Content-Length: +3\r\n\r\nabc", 400),
    ("negative length", _POST + b"Content-Length: -3\r\n\r\nabc", 400),
    ("hexadecimal length", _POST + b"Content-Length: 0x3\r\n\r\nabc", 400),
    ("empty length", _POST + b"Content-Length: \r\n\r\n", 400),
    ("length with a space within", _POST + b"Content-Length: 1 1\r\n\r\n", 400),
    ("overflowing length", _POST + b"Content-Length: 99999999999999999999\r\n\r\n", 400),
    ("length of 5,000 digits", _POST + b"Content-Length: " + b"1" * 5000 + b"\r\n\r\n", 400),
    ("length of 5,000 zeros", _POST + b"Content-Length: " + b"0" * 5000 + b"\r\n\r\n", 400),
    ("huge length", _POST + b"Content-Length: 9999999999999999999\r\n\r\n", 413),
    # Transfer-Encoding
    ("gzip, chunked", _POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
    ("chunked, gzip", _POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 400),
    ("xchunked", _POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
    ("identity", _POST + b"Transfer-Encoding: identity\r\n\r\n", 400),
    (
        "identity behind an upgrade",
        _POST + b"Connection: upgrade\r\nUpgrade: h2c\r\nTransfer-Encoding: identity\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        400,
    ),
    ("empty encoding", _POST + b"Transfer-Encoding:\r\n\r\n", 400),
    ("chunked twice", _POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
    ("chunked in two fields", _POST + _TE + _TE + b"\r\n0\r\n\r\n", 400),
    ("quoted chunked", _POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n', 400),
    ("chunks of HTTP/1.0", b"POST /x HTTP/1.0\r\n" + _H + _TE + b"\r\n0\r\n\r\n", 400),
    # Chunks
    ("chunk size with 0x", _CHUNKED + b"0x3\r\nabc\r\n0\r\n\r\n", 400),
    ("chunk size with a sign", _CHUNKED + b"+3\r\nabc\r\n0\r\n\r\n", 400),
    ("chunk size after a space", _CHUNKED + b" 3\r\nabc\r\n0\r\n\r\n", 400),
    ("chunk size before a space", _CHUNKED + b"3 \r\nabc\r\n0\r\n\r\n", 400),
    ("empty chunk size", _CHUNKED + b"\r\nabc\r\n0\r\n\r\n", 400),
    ("overflowing chunk size", _CHUNKED + b"fffffffffffffffff\r\nabc\r\n0\r\n\r\n", 400),
    ("bare LF after a chunk size", _CHUNKED + b"3\nabc\r\n0\r\n\r\n", 400),
    ("bare LF after a chunk", _CHUNKED + b"3\r\nabc\n0\r\n\r\n", 400),
    ("spilled chunk", _CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n", 400),
    ("bare LF in a chunk extension", _CHUNKED + b"3;a\nb\r\nabc\r\n0\r\n\r\n", 400),
    ("NUL in a chunk extension", _CHUNKED + b"3;a=\x00\r\nabc\r\n0\r\n\r\n", 400),
    ("trailers", _CHUNKED + b"3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n", 400),
    ("Content-Length in trailers", _CHUNKED + b"0\r\nContent-Length: 5\r\n\r\n", 400),
    ("chunks beyond the limit", _CHUNKED + b"3e9\r\n" + b"x" * 1001 + b"\r\n0\r\n\r\n", 413),
    # Sizes
    ("long head", _get(b"GET / HTTP/1.1", _H + b"X: " + b"x" * 16384 + b"\r\n"), 431),
    ("endless head", b"GET / HTTP/1.1\r\n" + _H + b"X: " + b"x" * 20000, 431),
    ("long target", _get(b"GET /" + b"x" * 17000 + b" HTTP/1.1"), 431),
    ("many fields", _get(b"GET / HTTP/1.1", _H + b"X: y\r\n" * 100), 431),
    ("large body", _POST + b"Content-Length: 1001\r\n\r\n", 413),
]
"""(what is wrong, the bytes, the status), for a body limit of 1000 bytes and the default limits of heads."""

"""A sealed value is ours, of this key, whole and unchanged, or it is refused."""

from __future__ import annotations

import hashlib
import hmac
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from redpony.codec import CodecConfig
from redpony.codec.seal import ALGORITHMS, BODY, HEAD, SealKey
from redpony.codec.sealed import LARGE
from redpony.errors import InvalidSetting, Tampered, TooLarge, Unreadable
from tests.codec.making import KEY, SECRET, SMALL, codec, refusal

ALGORITHM_NAMES = tuple(ALGORITHMS)
BODIES = {
    "small": SMALL,
    "large": "x" * (LARGE + 100),
    "none": None,
    "true": True,
    "huge integer": 10**50,
}


@pytest.mark.parametrize("algorithm", ALGORITHM_NAMES)
@pytest.mark.parametrize("name", BODIES)
def test_a_value_comes_back_as_it_was(algorithm: str, name: str) -> None:
    ours = codec(algorithm=algorithm)
    data = ours.encode(KEY, BODIES[name])
    assert data[0] == 0xC1
    assert ours.decode(KEY, data) == BODIES[name]
    assert type(ours.decode(KEY, data)) is type(BODIES[name])


def test_the_frame_is_as_documented() -> None:
    data = codec(scope="shop").encode("k", SMALL)
    prk = hmac.digest(b"redpony.seal", SECRET, "sha256")
    key = hmac.digest(prk, b"blake2b\x01", "sha256")
    key_id = hmac.digest(prk, b"id\x01", "sha256")[:4]
    head = b"\xc1\x11" + key_id + b"\x01\x00"
    body = pickle.dumps(SMALL, 5)

    def part(text: bytes) -> bytes:
        return len(text).to_bytes(4, "big") + text

    message = head + b"v" + part(b"shop") + part(b"") + part(b"") + part(b"k") + body
    mac = hashlib.blake2b(message, key=key, digest_size=16).digest()
    assert data == head + mac + body


def test_the_frame_of_hmac_sha256_is_as_documented() -> None:
    data = codec(algorithm="hmac-sha256").encode("k", SMALL)
    prk = hmac.digest(b"redpony.seal", SECRET, "sha256")
    key = hmac.digest(prk, b"hmac-sha256\x01", "sha256")
    message = data[:8] + b"v" + bytes(12) + b"\0\0\0\1k" + data[24:]
    assert data[1] == 0x12
    assert data[8:24] == hmac.digest(key, message, "sha256")[:16]


def test_keys_derive_by_hkdf_as_others_implement_it() -> None:
    def hkdf(info: bytes, length: int) -> bytes:
        return HKDF(hashes.SHA256(), length, b"redpony.seal", info).derive(SECRET)

    expected = hashlib.blake2b(b"m", key=hkdf(b"blake2b", 32), digest_size=16)
    hasher = SealKey(SECRET).hasher("blake2b")
    hasher.update(b"m")
    assert SealKey(SECRET).id == hkdf(b"id", 4)
    assert hasher.digest() == expected.digest()


@pytest.mark.parametrize("algorithm", ALGORITHM_NAMES)
@pytest.mark.parametrize("compressor", ["none", "zlib"])
def test_every_flipped_bit_is_refused(algorithm: str, compressor: str) -> None:
    ours = codec(algorithm=algorithm, compressor=compressor, compress_min_bytes=0)
    data = ours.encode(KEY, {"name": "alice" * 9})
    assert data[7] == (compressor == "zlib")
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        refusal(ours, bytes(flipped))


def test_every_flipped_bit_of_mac_and_body_is_tampering() -> None:
    ours = codec()
    data = ours.encode(KEY, SMALL)
    for bit in range(HEAD * 8, len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Tampered):
            ours.decode(KEY, bytes(flipped))


@pytest.mark.parametrize("name", ["small", "large"])
def test_a_value_cut_short_anywhere_is_refused(name: str) -> None:
    ours = codec()
    data = ours.encode(KEY, BODIES[name])
    for length in (*range(100), len(data) - 1):
        if length < len(data):
            refusal(ours, data[:length])
    refusal(ours, data + b"\0")


def test_a_value_moved_to_another_key_is_tampering() -> None:
    ours = codec()
    assert refusal(ours, ours.encode("alice", SMALL), "mallory") == "tampered"
    long = "k" * 300
    assert refusal(ours, ours.encode(long, SMALL), long + "k") == "tampered"
    assert ours.decode(long, ours.encode(long, SMALL)) == SMALL


def test_bytes_cannot_move_between_key_and_body() -> None:
    ours = codec(serializer="tests.codec.extensions.Raw")
    data = ours.encode("ab", b"c")
    assert refusal(ours, data[:BODY] + b"bc", "a") == "tampered"
    assert refusal(ours, data[:BODY], "abc") == "tampered"


def test_a_value_of_another_scope_is_tampering() -> None:
    data = codec(scope="shop").encode(KEY, SMALL)
    assert refusal(codec(scope="blog"), data) == "tampered"


def test_a_plain_value_passed_off_as_compressed_is_tampering() -> None:
    ours = codec(compressor="zlib")
    data = ours.encode(KEY, SMALL)
    assert refusal(ours, data[:7] + b"\x01" + data[8:]) == "tampered"


def test_any_key_of_the_ring_verifies_and_the_first_signs() -> None:
    old, new = codec(seal_keys=(b"old",)), codec(seal_keys=(b"new", b"old"))
    compressing = codec(seal_keys=(b"old",), compressor="zlib")
    assert new.decode(KEY, old.encode(KEY, SMALL)) == SMALL
    assert new.decode(KEY, compressing.encode(KEY, "x" * 999)) == "x" * 999
    assert refusal(old, new.encode(KEY, SMALL)) == "unknown key"
    assert codec(seal_keys=(b"new",)).encode(KEY, SMALL) == new.encode(KEY, SMALL)


def test_a_value_of_another_secret_is_of_an_unknown_key() -> None:
    data = codec(seal_keys=(b"theirs",)).encode(KEY, SMALL)
    assert refusal(codec(), data) == "unknown key"


def test_a_known_key_id_with_a_seal_of_another_key_is_tampering() -> None:
    theirs = codec(seal_keys=(b"theirs",)).encode(KEY, SMALL)
    ours = codec().encode(KEY, SMALL)
    assert refusal(codec(), theirs[:2] + ours[2:6] + theirs[6:]) == "tampered"


@pytest.mark.parametrize("algorithm", ALGORITHM_NAMES)
def test_either_algorithm_is_read_whichever_is_configured(algorithm: str) -> None:
    data = codec(algorithm=algorithm).encode(KEY, SMALL)
    for other in ALGORITHM_NAMES:
        assert codec(algorithm=other).decode(KEY, data) == SMALL


@pytest.mark.parametrize(
    ("position", "number", "reason"),
    [(1, 0x21, "format"), (1, 0x13, "format"), (6, 99, "undecodable")],
)
def test_unknown_versions_and_codecs_are_unreadable(
    position: int, number: int, reason: str
) -> None:
    data = bytearray(codec().encode(KEY, SMALL))
    data[position] = number
    assert refusal(codec(), bytes(data)) == reason
    data[7] = 99
    refusal(codec(), bytes(data))


def test_without_sealed_among_the_formats_a_sealed_value_is_unreadable() -> None:
    plain = codec(format="django", read_formats=("django",), seal_keys=())
    assert refusal(plain, codec().encode(KEY, SMALL)) == "format"


@pytest.mark.parametrize(
    "data", [b"", b"\x80\x05N.", b'{"a": 1}', b"\xc0", b"hello", b"s:hello", b"\0" * 64]
)
def test_nothing_unsealed_is_looked_into(data: bytes) -> None:
    assert refusal(codec(), data) == "format"


def test_an_unsealed_pickle_is_not_executed() -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, ...]:
            return (pytest.fail, ("it was unpickled",))

    data = pickle.dumps(Bomb())
    assert refusal(codec(), data) == "format"
    sealed = codec().encode(KEY, SMALL)
    assert refusal(codec(), sealed[:BODY] + data) == "tampered"
    with pytest.raises(Unreadable):
        codec().decode_member(data)


class Exotic:
    """An object whose state raises what its author likes."""

    def __init__(self, error: type[BaseException]) -> None:
        self.error = error

    def __setstate__(self, state: dict[str, type[BaseException]]) -> None:
        raise state["error"]


@pytest.mark.parametrize(
    "error", [RuntimeError, StopIteration, RecursionError, MemoryError, KeyError]
)
def test_whatever_unpickling_raises_is_undecodable(error: type[Exception]) -> None:
    ours = codec()
    for value in (Exotic(error), [Exotic(error), "x" * LARGE]):
        with pytest.raises(Unreadable) as caught:
            ours.decode(KEY, ours.encode(KEY, value))
        assert caught.value.reason == "undecodable"
        assert isinstance(caught.value.__cause__, error)


def test_an_interruption_of_unpickling_passes_through() -> None:
    ours = codec()
    with pytest.raises(KeyboardInterrupt):
        ours.decode(KEY, ours.encode(KEY, Exotic(KeyboardInterrupt)))


@pytest.mark.parametrize("limit", [1, 30, 67, 68, 5000])
def test_exactly_the_limit_is_written_and_no_more(limit: int) -> None:
    ours = codec(max_value_bytes=limit)
    whole = codec().encode(KEY, SMALL)
    assert len(whole) == 68
    if limit >= 68:
        assert ours.encode(KEY, SMALL) == whole
        assert ours.decode(KEY, whole) == SMALL
    else:
        with pytest.raises(TooLarge):
            ours.encode(KEY, SMALL)
        assert refusal(ours, whole) == "too large"


def test_what_would_inflate_past_the_limit_is_not_written() -> None:
    ours = codec(max_value_bytes=1000, compressor="zlib")
    with pytest.raises(TooLarge):
        ours.encode(KEY, "x" * 2000)


def test_many_values_are_decoded_and_the_refused_are_named() -> None:
    ours = codec()
    good, bad = ours.encode("a", SMALL), ours.encode("b", SMALL)
    found, refused = ours.decode_many("abcde", [good, None, b"7", bad, b"?"])
    assert found == {"a": SMALL, "c": 7}
    assert [(key, error.reason) for key, error in refused] == [
        ("d", "tampered"),
        ("e", "format"),
    ]


def test_a_cached_exception_is_a_value_like_any_other() -> None:
    ours = codec()
    data = ours.encode("a", Tampered("cached"))
    found, refused = ours.decode_many(["a"], [data])
    assert isinstance(found["a"], Tampered)
    assert not refused


def test_threads_share_a_codec() -> None:
    ours = codec(compressor="zstd", compress_min_bytes=10)

    def work(number: int) -> bool:
        key, value = f"key:{number}", {"n": number, "text": "text " * (number % 50)}
        return all(ours.decode(key, ours.encode(key, value)) == value for _ in range(9))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(300)))


def test_keys_are_not_printed() -> None:
    config = CodecConfig(seal_keys=(b"hush",), options={"PASSWORD": "hush"})
    assert "hush" not in repr(config) + repr(SealKey(b"hush")) + repr(codec())


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"seal_keys": ()}, "SEAL_KEYS"),
        ({"seal_keys": (b"",)}, "seal key"),
        ({"algorithm": "md5"}, "SEAL_ALGORITHM 'md5'"),
        ({"format": "json"}, "'json' in FORMAT"),
        ({"read_formats": ("sealed", "x")}, "'x' in FORMAT or READ_FORMATS"),
        ({"max_value_bytes": 0}, "MAX_VALUE_BYTES"),
        ({"pickle_protocol": 99}, "PICKLE_VERSION is 99"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused(
    changes: dict[str, object], named: str
) -> None:
    with pytest.raises(InvalidSetting, match=named):
        codec(**changes)


def test_the_codec_does_not_import_django() -> None:
    program = """
import sys
from redpony.codec import Codec, CodecConfig
codec = Codec(CodecConfig(seal_keys=(b"k",), serializer="json", compressor="zlib"))
assert codec.decode("k", codec.encode("k", "x" * 999)) == "x" * 999
sys.exit("django" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)

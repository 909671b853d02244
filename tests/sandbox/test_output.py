"""What is kept of output, and what becomes of names."""

from hypothesis import given
from hypothesis import strategies as st

from understudy.sandbox.logs import Logs
from understudy.sandbox.names import file_name, relative_path


def test_short_output_is_kept_as_it_is() -> None:
    logs = Logs(100)
    assert [logs.take(b"a"), logs.take("나".encode()[:2]), logs.take("나".encode()[2:]), logs.end()] == [
        "a",
        "",
        "나",
        "",
    ]
    assert (logs.text, logs.left_out) == ("a나", 0)


def test_long_output_keeps_both_ends() -> None:
    logs = Logs(40)
    for number in range(100):
        logs.take(b"%02d\n" % number)
    logs.end()
    assert logs.text.startswith("00\n01\n")
    assert logs.text.endswith("98\n99\n")
    assert "[260 bytes of output are left out here.]" in logs.text


def test_remarks_stand_on_lines_of_their_own() -> None:
    logs = Logs(100)
    logs.take(b"no line end")
    logs.end()
    logs.remark("Stopped.")
    logs.remark("Really.")
    assert logs.text == "no line end\n[Stopped.]\n[Really.]\n"


@given(st.lists(st.binary(max_size=60), max_size=30), st.integers(4, 80))
def test_what_is_told_adds_up_to_the_text(pieces: list[bytes], most: int) -> None:
    logs = Logs(most)
    told = [logs.take(piece) for piece in pieces] + [logs.end(), logs.remark("x")]
    assert "".join(told) == logs.text
    assert "\0" not in logs.text
    assert logs.total == sum(map(len, pieces))
    assert logs.left_out == max(0, logs.total - most)


@given(st.text())
def test_any_text_makes_a_name(text: str) -> None:
    name = file_name(text)
    assert name
    assert "/" not in name
    assert not name.startswith(".")
    assert len(name.encode()) <= 200
    assert file_name(name) == name
    path = relative_path(text)
    assert not [part for part in path.split("/") if part in ("", ".", "..")]
    assert len(path.encode()) <= 1000


def test_names_keep_what_they_can() -> None:
    assert file_name("보고서 2026 (최종).csv") == "보고서 2026 (최종).csv"
    assert file_name("../../etc/passwd") == "_._.._etc_passwd"
    assert file_name("..") == "_."
    assert file_name("x" * 300 + ".csv").endswith("xx.csv")
    assert file_name("\ud800\n") == "__"
    assert relative_path("a/./../b//c.csv") == "a/_/_./b/c.csv"

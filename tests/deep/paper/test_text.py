"""Text as streams: every token once and in order; parts and vocabularies; files that are not what they say."""

import re
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from deep.paper.data import text
from deep.paper.data.text import NOVEL, PENN_TREEBANK, Streams, folder, novel, words
from deep.paper.experiments import EXPERIMENTS
from deep.runner.jobs import Job
from deep.training.batches import Batches
from reference.console.command import UserError


@given(N=st.integers(2, 60), n=st.integers(1, 5), T=st.integers(1, 9))
def test_streams_hold_the_text_in_order_and_targets_are_the_next_words(N: int, n: int, T: int) -> None:
    if n >= N:
        with pytest.raises(UserError, match=f"{N} tokens are too few for {n} streams"):
            Streams(torch.arange(N), n, T)
        return
    batches = list(Batches(Streams(torch.arange(N), n, T), size=None, seed=0, shuffle=False).epoch(1))
    joined = torch.cat([x.tokens for x, _ in batches], 1)
    length = (N - 1) // n
    assert joined.flatten().tolist() == list(range(n * length))
    assert all(torch.equal(t, x.tokens + 1) for x, t in batches)
    assert [x.tokens.shape[1] for x, _ in batches[:-1]] == [T] * (len(batches) - 1)
    assert [bool(x.first.all()) for x, _ in batches] == [True] + [False] * (len(batches) - 1)
    assert not any(x.first.any() for x, _ in batches[1:])


def test_the_novel_is_split_by_position_and_its_vocabulary_is_the_training_parts() -> None:
    corpus = novel()
    parts = [corpus.train, corpus.valid, corpus.test]
    total = sum(map(len, parts))
    assert total == 99074
    assert [round(len(part) / total, 3) for part in parts] == [0.8, 0.1, 0.1]
    spelled = [[corpus.vocabulary[i] for i in part] for part in parts]
    assert spelled[0][13:20] == ["<eos>", "sir", "walter", "elliot", ",", "of", "kellynch"]
    assert spelled[2][-2:] == ["<unk>", "<eos>"]  # "Finis", which comes once
    # By hand: a word is known if training has it twice.
    assert "<unk>" in corpus.vocabulary
    assert all(spelled[0].count(word) > 1 for word in corpus.vocabulary[:200])
    assert set(corpus.vocabulary) == set(spelled[0])


def test_the_novel_carries_no_time_stamp_and_a_notice() -> None:
    assert NOVEL.read_bytes()[4:8] == b"\0\0\0\0"
    assert NOVEL.name in (NOVEL.parent / "NOTICE.md").read_text(encoding="utf-8")


def test_words_are_lower_cased_and_paragraphs_end() -> None:
    assert words('"Yes,\nCaptain--no."\n\n\n_Mr._ 1814') == [
        '"', "yes", ",", "captain", "--", "no", ".", '"', "<eos>", "mr", ".", "1814", "<eos>"
    ]  # fmt: skip


def written(path: Path, prefix: str = "", **parts: str) -> Path:
    for name, content in ({"train": "a b\na c\n", "valid": "a d\n", "test": "c\n"} | parts).items():
        (path / f"{prefix}{name}.txt").write_text(content, encoding="utf-8")
    return path


def test_a_folder_gives_lines_with_ends_and_unknown_words(tmp_path: Path) -> None:
    corpus = folder(written(tmp_path))
    assert corpus.vocabulary == ("a", "b", "<eos>", "c", "<unk>")
    assert (corpus.train.tolist(), corpus.valid.tolist(), corpus.test.tolist()) == (
        [0, 1, 2, 0, 3, 2],
        [0, 4, 2],
        [3, 2],
    )


def test_a_text_is_read_and_digested_once_however_many_runs_are_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def count(name: str) -> None:
        real = getattr(text, name)
        monkeypatch.setattr(text, name, lambda *args: done.append(name) or real(*args))

    for name in ("_read", "digest"):
        count(name)
    written(tmp_path, train="a b\n" * 20, valid="a b\n" * 20, test="a b\n" * 20)
    for method in ("stn", "delta-stn"):
        job = Job(EXPERIMENTS["ptb-lstm"], "smoke", method, 0, tmp_path, {"rows": 40}, tmp_path)
        assert len(job.settings["data"]) == 8
        job.prepare(progress=False)
    assert (done.count("_read"), done.count("digest")) == (3, 1)  # a file for each part


def test_files_that_claim_to_be_the_penn_treebank_are_counted(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="train has 6 tokens, the Penn Treebank's has 929589"):
        folder(written(tmp_path, "ptb."))


def test_a_text_of_the_penn_treebanks_counts_is_read(tmp_path: Path) -> None:
    """9998 words, <unk> and <eos>, in lines of ten."""
    types = [f"w{i}" for i in range(9998)] + ["<unk>"]

    def lines(tokens: int) -> str:
        ends = tokens // 11
        body = [types[i % len(types)] for i in range(tokens - ends)]
        cut = [" ".join(body[10 * i : 10 * i + 10]) for i in range(ends - 1)]
        return "\n".join([*cut, " ".join(body[10 * (ends - 1) :])]) + "\n"

    parts = {part: lines(PENN_TREEBANK[part]) for part in ("train", "valid", "test")}
    corpus = folder(written(tmp_path, "ptb.", **parts))
    assert len(corpus.vocabulary) == 10000
    (tmp_path / "ptb.train.txt").write_text(re.sub(r"w9997\b", "w0", parts["train"]), encoding="utf-8")
    with pytest.raises(UserError, match="vocabulary has 9999 tokens, the Penn Treebank's has 10000"):
        folder(tmp_path)


BLANKS = [" ", "\t", "\f", "\v", "\x1c", "\x85", "\u2028", "\u2029"]


@given(
    mark=st.booleans(),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    blanks=st.lists(
        st.sampled_from([" ", "\t", "\f", "\v", "\x1c", "\x85", "\u2028", "\u2029"]), min_size=1, max_size=9
    ),
    ended=st.booleans(),
)
def test_a_byte_order_mark_is_skipped_and_only_line_ends_end_a_line(
    tmp_path_factory: pytest.TempPathFactory, mark: bool, end: str, blanks: list[str], ended: bool
) -> None:
    path = tmp_path_factory.mktemp("text")
    content = "w" + "".join(f"{blank}w" for blank in blanks) + end + "w" + end * ended
    for part in ("train", "valid", "test"):
        (path / f"{part}.txt").write_bytes(b"\xef\xbb\xbf" * mark + content.encode())
    corpus = folder(path)
    assert corpus.vocabulary == ("w", "<eos>", "<unk>")
    assert corpus.train.tolist() == [0] * (len(blanks) + 1) + [1, 0, 1]


def test_what_is_missing_empty_or_not_text_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no text in .*LDC's.*ptb.train.txt.*train.txt.*Persuasion"):
        folder(tmp_path)
    written(tmp_path, valid="")
    with pytest.raises(UserError, match=r"valid\.txt is empty"):
        folder(tmp_path)
    (tmp_path / "valid.txt").write_bytes(b"caf\xe9")
    with pytest.raises(UserError, match=r"valid\.txt is not UTF-8 text .* at byte 3.*convert it"):
        folder(tmp_path)
    (tmp_path / "valid.txt").unlink()
    with pytest.raises(UserError, match=r"valid\.txt is missing"):
        folder(tmp_path)

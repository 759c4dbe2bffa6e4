"""Encoding files in parts: whatever the parts, the ids are those of the documents one by one."""

import random

import numpy as np
import pytest

from a1_basics.run.encode import PartEncoder, parts
from a1_basics.tokenizers import bpe, bpe_fast
from shared.errors import ArtifactError
from shared.store.kinds import DOCUMENT_END


@pytest.mark.parametrize("part_bytes", [1, 7, 100, 10_000])
@pytest.mark.parametrize("module", [bpe, bpe_fast], ids=["one by one", "in batches"])
def test_parts_of_a_file_encode_as_its_documents_do(tmp_path, module, part_bytes):
    rng = random.Random(part_bytes)
    documents = [
        "".join(rng.choices(["low ", "er", "é", "\n", "", "한국"], k=rng.randint(0, 30))) for _ in range(40)
    ]
    path = tmp_path / "train.txt"
    path.write_text("".join(document + DOCUMENT_END for document in documents), encoding="utf-8", newline="")
    tokenizer = module.Tokenizer(*bpe.train_bpe(path, 280, [DOCUMENT_END]), [DOCUMENT_END])
    encode = PartEncoder(tokenizer, 256)
    encoded = [encode(part) for part in parts(path, part_bytes)]
    wanted = [i for document in documents for i in [*tokenizer.encode(document), 256]]
    assert np.concatenate([ids for ids, _ in encoded]).tolist() == wanted
    assert sum(num_bytes for _, num_bytes in encoded) == len("".join(documents).encode())


def test_a_file_without_its_last_marker_is_refused(tmp_path):
    path = tmp_path / "train.txt"
    path.write_text(f"a{DOCUMENT_END}b")
    tokenizer = bpe_fast.Tokenizer({i: bytes([i]) for i in range(256)}, [], [DOCUMENT_END])
    with pytest.raises(ArtifactError, match="does not end with"):
        PartEncoder(tokenizer, 256)(next(parts(path)))

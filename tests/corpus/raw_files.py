"""Small raw files, made by hand, for the tests of the corpus."""

import gzip
import json
import random
from pathlib import Path

from headstart.corpus.recipe import PAGE_RULES, RULES

_NOUNS = """
river stone garden window letter morning winter summer captain village forest silver market teacher bridge
candle mountain harvest kitchen station music shadow island doctor palace engine farmer lantern valley orchard
"""
_VERBS = "crossed found kept watched carried painted remembered followed repaired described"

JAPANESE = (
    "コンテナターミナルでは、船から降ろした荷をガントリークレーンで岸壁に並べる。ガントリークレーンの運転手は地上三十"
    "メートルの席に座り、無線で作業員と連絡を取る。\n\n雨の日には仕事を止め、車庫で道具を磨きながら空が晴れるのを待つ。"
    "コンテナターミナルの事務所は、どの荷がどこにあるかを帳面に記録している。夏は朝早く、冬は昼から働き、昼休みには港の"
    "食堂で魚の定食を食べる。若い人は先輩から縄の結び方を習い、夕方になると灯台の明かりを見て家に帰る。"
)
THAI = (
    "ท่าเรือของหมู่บ้านเปิดให้เรือประมงเข้ามาจอดตั้งแต่ตีห้าจนถึงสองทุ่ม "
    "ชาวประมงต้องแจ้งชื่อเรือและจำนวนลูกเรือ\n\n"
    "เมื่อลมแรงเจ้าหน้าที่จะลากเรือเล็กไปไว้หลังกำแพงหิน เด็กชอบดูเรือที่ท่า คนแก่นั่งคุยกันเรื่องอากาศ"
)


def prose(seed: int, sentences: int = 12) -> str:
    """English-looking text without repetition, different for each seed."""
    rng = random.Random(seed)
    nouns, verbs = _NOUNS.split(), _VERBS.split()
    return " ".join(
        f"The {rng.choice(nouns)} of the {rng.choice(nouns)} {rng.choice(verbs)} a {rng.choice(nouns)}"
        f" and that {rng.choice(nouns)} {rng.choice(verbs)} {rng.randrange(1000)} times with the"
        f" {rng.choice(nouns)} in {rng.choice(nouns)} {rng.randrange(1000)}."
        for _ in range(sentences)
    )


def page(seed: int) -> str:
    paragraphs = "".join(f"<p>{prose(seed * 10 + n, 5)}</p>" for n in range(3))
    return f"<html><title>{seed}</title><body><main><h1>Page {seed}</h1>{paragraphs}</main></body></html>"


def response(
    url: str, html: bytes, http: bytes = b"Content-Type: text/html; charset=utf-8", length: int = 0
) -> bytes:
    body = b"HTTP/1.1 200 OK\r\n" + http + b"\r\n\r\n" + html
    head = (
        f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {url}\r\nWARC-Date: 2024-05-06T07:08:09Z\r\n"
        f"Content-Type: application/http; msgtype=response\r\nContent-Length: {length or len(body)}\r\n\r\n"
    )
    return head.encode() + body + b"\r\n\r\n"


def write_jsonl(path: Path, rows: list[dict]) -> Path:
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
    return path


def rules_off() -> list[str]:
    """Settings that switch every rule off."""
    return [f"rules.{name}=off" for name in RULES] + [f"page_rules.{name}=off" for name in PAGE_RULES]


def stand_in_for_sbatch(folder: Path) -> Path:
    """A folder, for PATH, with an `sbatch` that runs an array's jobs one after another."""
    folder = folder / "bin"
    folder.mkdir()
    (folder / "sbatch").write_text(
        "#!/usr/bin/env python3\n"
        "import os, shlex, subprocess, sys\n"
        "given = dict(one.lstrip('-').split('=', 1) for one in sys.argv[1:] if '=' in one)\n"
        "for part in given['array'].split('%')[0].split(','):\n"
        "    first, _, last = part.partition('-')\n"
        "    for number in range(int(first), int(last or first) + 1):\n"
        "        env = os.environ | {'SLURM_ARRAY_TASK_ID': str(number)}\n"
        "        subprocess.run(shlex.split(given['wrap']), env=env, check=True)\n"
    )
    (folder / "sbatch").chmod(0o755)
    return folder

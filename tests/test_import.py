"""`import headstart` and `headstart --help` load nothing heavy."""

import subprocess
import sys

HEAVY = ("torch", "numpy", "transformers", "fastapi", "pyarrow", "sklearn", "tokenizers")


def loaded_after(code: str) -> set[str]:
    """The heavy modules that a fresh interpreter has loaded after running `code`."""
    report = f"\nimport sys; print('LOADED', *[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code + report], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split()[1:])


def test_import_is_light() -> None:
    assert loaded_after("import headstart; assert headstart.__version__") == set()


def test_a_working_folder_that_is_gone_is_an_error_and_no_end_of_the_process(tmp_path) -> None:
    code = (
        f"import os; os.mkdir({str(tmp_path / 'gone')!r}); os.chdir({str(tmp_path / 'gone')!r}); "
        "os.rmdir(os.getcwd())\n"
        "import headstart as hs\n"
        "try: hs.load\n"
        "except hs.errors.HeadstartError as error: assert 'the working folder' in str(error)\n"
        f"os.chdir({str(tmp_path)!r}); hs.load"
    )
    assert "torch" in loaded_after(code)


def test_errors_folders_and_recipes_need_no_torch() -> None:
    code = "import headstart.errors, headstart.folder, headstart.recipe, headstart.progress"
    assert "torch" not in loaded_after(code)


def test_the_measure_works() -> None:
    assert "numpy" in loaded_after("import numpy")


def test_help_is_light_and_reads_well() -> None:
    code = """
import sys
from headstart.cli import main
sys.argv = ["headstart", "--help"]
try:
    main()
except SystemExit as stopped:
    assert not stopped.code, stopped.code
"""
    assert "torch" not in loaded_after(code)
    done = subprocess.run([sys.executable, "-m", "headstart", "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for verb in ("quickstart", "corpus", "tokenizer", "pretrain", "finetune", "generate"):
        assert verb in done.stdout


def test_the_planner_needs_no_torch() -> None:
    code = (
        "import headstart.scaling.plan as planner\n"
        "from headstart.scaling.published import REFIT\n"
        "from headstart.scaling.hardware import device_named\n"
        "planner.answer(planner.Question(REFIT, compute=1e21, hardware=device_named('H100'), devices=8))"
    )
    assert "torch" not in loaded_after(code)

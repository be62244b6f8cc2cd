"""What people who come from other tools type: each usual name is a setting here, or is answered with one.

`name=value -> setting=value`: accepted, and means that. `-> ? setting`: refused with a sentence that
names the setting; `-> ! words`: refused with those words, because there is nothing to set.
"""

import pytest
from typer.testing import CliRunner

from headstart.cli import app
from headstart.corpus.recipe import CorpusRecipe
from headstart.errors import HeadstartError
from headstart.generation.config import GenerationConfig
from headstart.overrides import apply_override
from headstart.recipe import Recipe
from headstart.setting_names import FAMILIAR, WrongKey, find_setting, own_names, settings_of, types_of
from headstart.tasks.finetuning.finetune_recipe import FinetuneRecipe
from headstart.tokenizer.shards import ShardRecipe
from headstart.tokenizer.train import TokenizerRecipe
from headstart.training.elmo_run import ElmoRecipe
from headstart.training.recipe import PretrainRecipe
from headstart.training.word_vectors_run import GloveRecipe, Word2VecRecipe

PRETRAIN = {
    "nanoGPT": """
        batch_size=12 -> rows=12
        block_size=1024 -> context=1024
        gradient_accumulation_steps=40 -> ? rows
        n_layer=12 -> model.layers=12
        n_head=12 -> model.heads=12
        n_embd=768 -> model.width=768
        dropout=0.1 -> model.dropout=0.1
        bias=False -> ! family
        learning_rate=6e-4 -> ? optimiser.matrix_rate
        max_iters=600 -> steps=600
        weight_decay=0.1 -> optimiser.weight_decay=0.1
        beta1=0.9 -> ? optimiser.betas
        beta2=0.95 -> ? optimiser.betas
        grad_clip=1.0 -> optimiser.clip=1.0
        decay_lr=True -> ? optimiser.schedule
        warmup_iters=2000 -> ? optimiser.warmup_share
        lr_decay_iters=600000 -> ? optimiser.decay_share
        min_lr=6e-5 -> ? optimiser.final_share
        eval_interval=2000 -> evaluate_every=2000
        eval_iters=200 -> ? evaluate_rows
        log_interval=1 -> ! metrics.jsonl
        init_from=scratch -> ? start
        dtype=bfloat16 -> precision=bfloat16
        device=cpu -> device=cpu
        compile=False -> compile=False
        out_dir=out -> ! --out
        dataset=shakespeare -> ? tokens
        wandb_log=True -> ? sinks
        seed=1337 -> seed=1337
    """,
    "nanochat": """
        depth=12 -> ? model.layers
        max_seq_len=2048 -> context=2048
        device_batch_size=32 -> micro_rows=32
        total_batch_size=524288 -> ? rows
        num_iterations=1000 -> steps=1000
        matrix_lr=0.02 -> optimiser.matrix_rate=0.02
        embedding_lr=0.2 -> ? optimiser.vector_rate
        unembedding_lr=0.004 -> ? optimiser.vector_rate
        scalar_lr=0.5 -> ? optimiser.vector_rate
        weight_decay=0.2 -> optimiser.weight_decay=0.2
        warmup_ratio=0.0 -> optimiser.warmup_share=0.0
        warmdown_ratio=0.4 -> optimiser.decay_share=0.4
        final_lr_frac=0.05 -> optimiser.final_share=0.05
        eval_every=250 -> evaluate_every=250
        eval_tokens=10485760 -> ? evaluate_rows
        save_every=1000 -> checkpoint_every=1000
        window_pattern=SSSL -> ! family
        resume_from_step=100 -> ! --out
        device_type=cpu -> device=cpu
    """,
    "transformers TrainingArguments": """
        output_dir=out -> ! --out
        per_device_train_batch_size=8 -> ? rows
        per_device_eval_batch_size=8 -> ? evaluate_rows
        gradient_accumulation_steps=4 -> ? rows
        learning_rate=5e-5 -> ? optimiser.matrix_rate
        weight_decay=0.01 -> optimiser.weight_decay=0.01
        adam_beta1=0.9 -> ? optimiser.betas
        adam_beta2=0.999 -> ? optimiser.betas
        adam_epsilon=1e-8 -> ! optimiser
        max_grad_norm=1.0 -> optimiser.clip=1.0
        num_train_epochs=3 -> ? steps
        max_steps=500 -> steps=500
        lr_scheduler_type=cosine -> optimiser.schedule=cosine
        warmup_ratio=0.1 -> optimiser.warmup_share=0.1
        warmup_steps=100 -> ? optimiser.warmup_share
        logging_steps=10 -> ! metrics.jsonl
        save_steps=500 -> checkpoint_every=500
        save_total_limit=3 -> keep_checkpoints=3
        eval_steps=500 -> evaluate_every=500
        eval_strategy=steps -> ? evaluate_every
        bf16=True -> ? precision
        fp16=True -> ? precision
        torch_compile=True -> compile=True
        gradient_checkpointing=True -> checkpoint_activations=True
        optim=adamw -> ? optimiser.kind
        report_to=wandb -> ? sinks
        label_smoothing_factor=0.1 -> label_smoothing=0.1
        dataloader_num_workers=4 -> ! tokens
        ddp_timeout=600 -> parallel.timeout=600
        use_cpu=True -> ? device
        mlm_probability=0.15 -> objective.mask_rate=0.15
        hidden_size=768 -> model.width=768
        num_hidden_layers=12 -> model.layers=12
        num_attention_heads=12 -> model.heads=12
        num_key_value_heads=4 -> model.kv_heads=4
        intermediate_size=3072 -> model.feedforward_width=3072
        max_position_embeddings=512 -> context=512
        vocab_size=30000 -> ! tokenizer
        model_type=bert -> model.family=bert
        d_model=512 -> model.width=512
        d_ff=2048 -> model.feedforward_width=2048
        num_heads=8 -> model.heads=8
        n_positions=1024 -> context=1024
        hidden_dropout_prob=0.1 -> ? model.dropout
        attention_probs_dropout_prob=0.1 -> ? model.dropout
        initializer_range=0.02 -> ? model.embedding_deviation
        model_name_or_path=bert-base-uncased -> ? start
        resume_from_checkpoint=True -> ! --out
        max_seq_length=512 -> context=512
    """,
    "torchtitan": """
        training.seq_len=2048 -> ? context
        training.local_batch_size=8 -> ? micro_rows
        training.global_batch_size=64 -> ? rows
        training.max_norm=1.0 -> ? optimiser.clip
        training.steps=10000 -> ? steps
        optimizer.lr=8e-4 -> ? optimiser.matrix_rate
        optimizer.weight_decay=0.1 -> optimiser.weight_decay=0.1
        optimizer.eps=1e-8 -> ! optimiser
        lr_scheduler.warmup_steps=200 -> ? optimiser.warmup_share
        lr_scheduler.decay_ratio=0.8 -> optimiser.decay_share=0.8
        lr_scheduler.min_lr_factor=0.1 -> optimiser.final_share=0.1
        model.dim=256 -> model.width=256
        model.n_layers=6 -> model.layers=6
        model.n_kv_heads=2 -> model.kv_heads=2
        model.flavor=8B -> ? model.family
        parallelism.tensor_parallel_degree=2 -> parallel.tensor=2
        parallelism.pipeline_parallel_degree=2 -> parallel.pipeline=2
        parallelism.data_parallel_shard_degree=4 -> parallel.shard=4
        parallelism.data_parallel_replicate_degree=2 -> parallel.replicate=2
        checkpoint.interval=500 -> ? checkpoint_every
        checkpoint.keep_latest_k=10 -> ? keep_checkpoints
        metrics.log_freq=10 -> ! metrics.jsonl
        activation_checkpoint.mode=full -> ? checkpoint_activations
        seq_len=128 -> context=128
        optimiser.max_grad_norm=1 -> optimiser.clip=1
    """,
    "litgpt": """
        global_batch_size=512 -> rows=512
        micro_batch_size=4 -> micro_rows=4
        max_tokens=3000000000 -> ? steps
        max_seq_length=2048 -> context=2048
        lr_warmup_steps=2000 -> ? optimiser.warmup_share
        lr_warmup_fraction=0.1 -> optimiser.warmup_share=0.1
        max_norm=1.0 -> optimiser.clip=1.0
        min_lr=4e-5 -> ? optimiser.final_share
        tie_embeddings=False -> ! family
        save_interval=1000 -> checkpoint_every=1000
        train.max_steps=100 -> ? steps
        train.epochs=1 -> ? steps
        eval.interval=1000 -> ? evaluate_every
        eval.max_iters=100 -> ? evaluate_rows
        n_query_groups=4 -> model.kv_heads=4
        padded_vocab_size=50304 -> ! tokenizer
        initial_checkpoint_dir=x -> ? start
        out_dir=x -> ! --out
        devices=4 -> ? parallel
        logger_name=csv -> ? sinks
        precision=float32 -> precision=float32
        ema=0.999 -> optimiser.average=0.999
        min_lr_ratio=0.1 -> optimiser.final_share=0.1
        peak_lr=1e-3 -> ? optimiser.matrix_rate
        lr=1e-3 -> ? optimiser.matrix_rate
    """,
}
FINETUNE = {
    "transformers TrainingArguments": """
        output_dir=out -> ! --out
        per_device_train_batch_size=8 -> batch_examples=8
        gradient_accumulation_steps=2 -> ? batch_examples
        learning_rate=5e-4 -> learning_rate=5e-4
        num_train_epochs=3 -> epochs=3
        max_steps=500 -> max_steps=500
        warmup_ratio=0.1 -> warmup_share=0.1
        warmup_steps=10 -> ? warmup_share
        weight_decay=0.01 -> weight_decay=0.01
        max_grad_norm=1.0 -> clip=1.0
        lr_scheduler_type=linear -> ! linear
        logging_steps=10 -> ! terminal
        eval_steps=100 -> ? evaluations
        save_steps=100 -> ! weights
        seed=1 -> ! --seed
        bf16=True -> ! --precision
        fp16=True -> ! --precision
        optim=adamw_torch -> ! AdamW
        early_stopping_patience=3 -> patience=3
        load_best_model_at_end=True -> ! validation
        metric_for_best_model=f1 -> ! validation
        max_length=128 -> max_tokens=128
        max_seq_length=128 -> max_tokens=128
        num_labels=3 -> ! data
        classifier_dropout=0.1 -> dropout=0.1
        gradient_checkpointing=True -> ! memory
    """,
    "peft": """
        r=16 -> lora_rank=16
        lora_r=16 -> lora_rank=16
        rank=16 -> lora_rank=16
        lora_alpha=32 -> lora_alpha=32
        lora_dropout=0.1 -> lora_dropout=0.1
        target_modules=[q_proj] -> ? lora_targets
        use_lora=True -> ? adapt
        task_type=SEQ_CLS -> ! --task
        bias=none -> ! lora
    """,
    "litgpt": """
        global_batch_size=16 -> batch_examples=16
        micro_batch_size=4 -> ? batch_examples
        epochs=5 -> epochs=5
        max_seq_length=256 -> max_tokens=256
        lr_warmup_steps=100 -> ? warmup_share
        train.epochs=5 -> ? epochs
        lr=3e-4 -> learning_rate=3e-4
        val_split_fraction=0.1 -> validation_share=0.1
        lora_r=8 -> lora_rank=8
    """,
    "flair, fastai, keras, scikit-learn": """
        mini_batch_size=32 -> batch_examples=32
        batch_size=32 -> batch_examples=32
        max_epochs=10 -> epochs=10
        n_epochs=10 -> epochs=10
        validation_split=0.2 -> validation_share=0.2
        layerwise_lr_decay=0.9 -> layer_decay=0.9
    """,
}
GENERATE = {
    "vLLM": """
        n=2 -> ! prompt
        best_of=4 -> ? beams
        presence_penalty=0.5 -> presence_penalty=0.5
        frequency_penalty=0.5 -> frequency_penalty=0.5
        repetition_penalty=1.1 -> repetition_penalty=1.1
        temperature=0.7 -> temperature=0.7
        top_p=0.9 -> top_p=0.9
        top_k=20 -> top_k=20
        min_p=0.05 -> min_p=0.05
        seed=3 -> seed=3
        stop=["x"] -> stop=["x"]
        stop_token_ids=[5] -> stop_tokens=[5]
        ignore_eos=True -> ? min_new_tokens
        max_tokens=16 -> max_new_tokens=16
        min_tokens=4 -> min_new_tokens=4
        logprobs=true -> logprobs=true
        skip_special_tokens=True -> ! special
    """,
    "transformers GenerationConfig": """
        max_new_tokens=16 -> max_new_tokens=16
        min_new_tokens=4 -> min_new_tokens=4
        max_length=128 -> ? max_new_tokens
        do_sample=False -> ? temperature
        num_beams=1 -> beams=1
        no_repeat_ngram_size=3 -> no_repeat_ngram=3
        length_penalty=0.8 -> length_penalty=0.8
        eos_token_id=2 -> ? stop_tokens
        num_return_sequences=2 -> ! prompt
        stop_strings=["x"] -> stop=["x"]
        typical_p=0.9 -> ? top_p
    """,
    "nanoGPT, nanochat, litgpt": """
        num_samples=10 -> ! prompt
        top_k=200 -> top_k=200
        start=hello -> ! prompt
    """,
}

OTHERS = {
    Word2VecRecipe: """
        vector_size=300 -> model.width=300
        negative=10 -> model.negatives=10
        sample=1e-4 -> model.subsample=1e-4
        alpha=0.05 -> rate=0.05
        sg=1 -> ? model.algorithm
    """,
    GloveRecipe: """
        vector_size=300 -> model.width=300
        max_iter=15 -> epochs=15
        eta=0.05 -> rate=0.05
    """,
    ElmoRecipe: """
        lr=1e-3 -> rate=1e-3
        max_grad_norm=5 -> clip=5
        batch_size=128 -> ? words
    """,
    TokenizerRecipe: """
        vocabulary_size=16000 -> vocab_size=16000
        do_lower_case=true -> ? cased
    """,
    ShardRecipe: """
        validation_split=0.02 -> heldout_share=0.02
    """,
    CorpusRecipe: """
        near_duplicates.num_buckets=20 -> near_duplicates.bands=20
        near_duplicates.hashes_per_bucket=13 -> near_duplicates.rows=13
        language_threshold=0.5 -> language_score=0.5
        text_key=content -> ? fields.text
        num_perm=112 -> ? near_duplicates.bands
    """,
}
# What a recipe cannot do without.
NEEDED = {
    PretrainRecipe: ["tokens=t"],
    Word2VecRecipe: ["corpus=c"],
    GloveRecipe: ["corpus=c"],
    ElmoRecipe: ["corpus=c"],
}


def rows(recipe: type, tables: dict[str, str]) -> list:
    """A parameter for each line: the recipe class, what is typed, and what it is to mean."""
    return [
        pytest.param(recipe, *(part.strip() for part in line.split(" -> ")), id=f"{tool}: {line.strip()}")
        for tool, table in tables.items()
        for line in table.strip().splitlines()
    ]


LINES = [
    *rows(PretrainRecipe, PRETRAIN),
    *rows(FinetuneRecipe, FINETUNE),
    *rows(GenerationConfig, GENERATE),
    *(row for recipe, table in OTHERS.items() for row in rows(recipe, {recipe.__name__: table})),
]


def read(recipe: type, *given: str) -> object:
    """The settings that come out of `key=value`."""
    if issubclass(recipe, Recipe):
        return recipe.load(None, [*NEEDED.get(recipe, []), *given])
    values: dict = {}
    for one in given:
        apply_override(values, one, recipe)
    return recipe(**values)


@pytest.mark.parametrize(("recipe", "typed", "means"), LINES)
def test_a_usual_name_is_a_setting_or_is_answered(recipe, typed, means) -> None:
    if means[0] not in "?!":
        assert read(recipe, typed) == read(recipe, means)
        return
    with pytest.raises(HeadstartError) as caught:
        read(recipe, typed)
    sentence = str(caught.value)
    assert means[2:] in sentence
    assert "\n" not in sentence
    assert typed.split("=")[0] in sentence
    assert "; known:" not in sentence, "an answer is no list of all keys"


ALL = [PretrainRecipe, FinetuneRecipe, GenerationConfig, *OTHERS]


@pytest.mark.parametrize("recipe", ALL)
def test_no_word_of_the_field_is_taken_for_a_misspelt_setting(recipe) -> None:
    """It is a setting, has an answer, or there is nothing of the kind: a guess by spelling would mislead."""
    known = {name for setting in settings_of(recipe) for name in setting.names}
    for word in FAMILIAR.split():
        said = ""
        try:
            find_setting(recipe, (word,))
        except WrongKey as wrong:
            said = str(wrong)
        assert "did you mean" not in said or word in known, f"{word}: {said}"


@pytest.mark.parametrize("recipe", ALL)
def test_the_tables_name_settings_that_there_are(recipe) -> None:
    """Every row of `USUAL_NAMES` is of a setting, and a name means one thing in its group."""
    for group in {recipe, *(setting.type for setting in settings_of(recipe))}:
        usual = getattr(group, "USUAL_NAMES", {})
        assert usual.keys() <= types_of(group).keys() if usual else True
        words = [word for names in usual.values() for word in names.split()]
        answered = [word for names in getattr(group, "ANSWERS", {}) for word in names.split()]
        assert len({*words, *answered}) == len(words) + len(answered)
        assert not {*words, *answered} & (types_of(group).keys() if usual else set())


def test_a_name_is_found_in_its_group_and_from_the_top() -> None:
    for given in ({"n_layer": 3}, {"model": {"n_layer": 3}}, {"model": {"layers": 3}}, {"layers": 3}):
        assert own_names(PretrainRecipe, given)[0] == {"model": {"layers": 3}}
    both = {"n_layer": 3, "model": {"width": 64}, "optimizer": {"grad_clip": 2}, "wd": 0.1}
    assert own_names(PretrainRecipe, both)[0] == {
        "model": {"layers": 3, "width": 64}, "optimiser": {"clip": 2, "weight_decay": 0.1}
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["kind=adamw"], "did you mean 'objective.kind' or 'optimiser.kind'?"),
        (["model.lr=1"], "give two rates: optimiser.matrix_rate"),
        (["model.batch_size=1"], "did you mean 'rows'?"),
        (["optimizer.max_gradnorm=1"], "did you mean 'clip'?"),
        (["learning_rat=1"], "give two rates"),
        (["zzzz=1"], "; known: capture_every, checkpoint_activations"),
        (["optimizer=adamw"], "it is a group of settings (kind, matrix_rate"),
    ],
)
def test_what_is_no_name_is_answered_with_the_setting_that_is_meant(given, said) -> None:
    with pytest.raises(HeadstartError) as caught:
        read(PretrainRecipe, *given)
    assert said in str(caught.value)


def test_one_setting_under_two_names_is_refused_and_a_later_override_wins(tmp_path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("tokens: t\nrows: 8\nbatch_size: 16\n")
    with pytest.raises(HeadstartError, match=r"line 3: 'batch_size' is the setting 'rows', which is given"):
        PretrainRecipe.load(path, [])
    path.write_text("tokens: t\nbatch_size: 16\nmodel:\n  n_layer: 0\n")
    with pytest.raises(HeadstartError, match=r"line 4: model.layers = 0 is wrong"):
        PretrainRecipe.load(path, [])
    path.write_text("tokens: t\nbatch_size: 16\nmodel:\n  n_layer: 3\n")
    recipe = PretrainRecipe.load(path, ["rows=4", "n_embd=64"])
    assert (recipe.rows, recipe.model.layers, recipe.model.width) == (4, 3, 64)
    recipe.save(tmp_path / "saved.yaml")
    assert "batch_size" not in (tmp_path / "saved.yaml").read_text()
    assert PretrainRecipe.load(tmp_path / "saved.yaml", []) == recipe


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["pretrain", "tokens=t", "--batch_size", "32"], "written without dashes: batch_size=32"),
        (["pretrain", "tokens=t", "--n-layer=3"], "written without dashes: n_layer=3"),
        (["pretrain", "--warmup_steps", "9"], "give optimiser.warmup_share = warmup_steps / steps"),
        (["finetune", "m", "--data", "d", "--out", "o", "--epochs", "3"], "without dashes: epochs=3"),
        (["generate", "m", "hello", "--max_tokens", "3"], "without dashes: max_tokens=3"),
        (["tokenizer", "train", "c", "--out", "o", "--vocab_size", "900"], "without dashes: vocab_size=900"),
        (["corpus", "c", "--out", "o", "--language_score", "0.5"], "without dashes: language_score=0.5"),
    ],
)
def test_a_setting_that_is_written_as_an_option_is_answered(typed, said) -> None:
    with pytest.raises(HeadstartError) as caught:
        CliRunner().invoke(app, typed, catch_exceptions=False)
    assert "there is no option --" in str(caught.value)
    assert said in str(caught.value)


def test_an_option_that_nothing_is_called_stays_a_mistake_of_the_command_line() -> None:
    answer = CliRunner().invoke(app, ["pretrain", "tokens=t", "--outt", "x"])
    assert answer.exit_code == 2
    assert "--outt" in answer.output

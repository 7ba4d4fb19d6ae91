"""The cache folder: named by the environment, or passing where it cannot be written."""

from conversation_emotion.settings.cache import cache_folder, passing_cache, writable_cache


def test_the_cache_is_where_the_environment_points(monkeypatch, tmp_path):
    monkeypatch.setenv("CONVERSATION_EMOTION_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("CONVERSATION_EMOTION_CACHE")
    assert cache_folder().name == "conversation-emotion"


def test_a_passing_cache_is_removed_and_one_that_cannot_be_written_is_passing(
    monkeypatch, tmp_path, capsys
):
    monkeypatch.setenv("CONVERSATION_EMOTION_CACHE", str(tmp_path / "file" / "cache"))
    with passing_cache() as passing:
        assert cache_folder() == passing
    assert not passing.exists()
    (tmp_path / "file").write_text("no folder")
    with writable_cache() as folder:
        assert cache_folder() == folder
        assert folder.is_dir()
    assert "file/cache cannot be written, and what is computed is not kept" in (
        capsys.readouterr().out
    )
    (tmp_path / "file").unlink()
    with writable_cache() as folder:
        assert folder == tmp_path / "file" / "cache"

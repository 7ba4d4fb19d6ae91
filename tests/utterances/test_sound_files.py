"""What lies in a folder is read, or counted by suffix."""

from pathlib import Path

from conversation_emotion.utterances.sound_files import count_suffixes, find_sound


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_every_container_in_any_case_is_found_and_the_rest_is_counted(tmp_path):
    touch(tmp_path, "a.WAV", "b/c.3gp", "b/d.Amr", "notes.txt", "b/list.TXT", "README", ".x.wav")
    touch(tmp_path, "__MACOSX/e.wav", ".git/f.wav")
    sound, others = find_sound(tmp_path)
    assert [path.name for path in sound] == ["a.WAV", "c.3gp", "d.Amr"]
    assert count_suffixes(others) == "2 .txt, 1 without a suffix"


def test_a_linked_folder_is_searched_once_whatever_circle_it_makes(tmp_path):
    touch(tmp_path, "root/a.wav", "else/b.wav")
    (tmp_path / "root" / "again").symlink_to(tmp_path / "root")
    (tmp_path / "root" / "link").symlink_to(tmp_path / "else")
    (tmp_path / "else" / "back").symlink_to(tmp_path / "root")
    found = [
        path.relative_to(tmp_path / "root").as_posix()
        for path in find_sound(tmp_path / "root").sound
    ]
    assert found == ["a.wav", "link/b.wav"]


def test_a_file_stands_for_itself(tmp_path):
    touch(tmp_path, "a.wav", "b.wav")
    assert find_sound(tmp_path / "b.wav").sound == [tmp_path / "b.wav"]

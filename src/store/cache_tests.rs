use std::ffi::OsString;

use super::*;
use crate::store::testing::names;

fn temp() -> (tempfile::TempDir, Cache, PathBuf) {
    let temp = tempfile::tempdir().expect("a directory");
    let dir = temp.path().join("a/customize");
    (temp, Cache::at(dir.clone()), dir)
}

fn info(entries: u64, damaged: u64, leftovers: u64, outdated: u64, dir: &Path) -> CacheInfo {
    CacheInfo {
        dir: Some(dir.to_owned()),
        entries,
        bytes: 0,
        damaged,
        leftovers,
        outdated,
    }
}

fn counts(info: Result<CacheInfo>) -> CacheInfo {
    CacheInfo {
        bytes: 0,
        ..info.expect("counts")
    }
}

#[test]
fn what_is_stored_is_loaded() {
    let (_temp, cache, dir) = temp();
    let key = Digest::of(b"key");
    assert_eq!(cache.load("layer", &key), None);
    assert_eq!(cache.info().expect("info"), info(0, 0, 0, 0, &dir));
    cache.store("layer", &key, b"payload");
    assert_eq!(cache.load("layer", &key), Some(b"payload".to_vec()));
    assert_eq!(cache.load("other", &key), None);
    assert_eq!(cache.load("layer", &Digest::of(b"other")), None);
    cache.store("layer", &key, b"");
    assert_eq!(cache.load("layer", &key), Some(Vec::new()));
    assert_eq!(cache.info().expect("info").bytes, 52);
    let path = dir.join("v1/layer").join(key.hex());
    let mode = |path: &Path| fs::metadata(path).expect("metadata").mode() & 0o7777;
    assert_eq!((mode(&dir), mode(&path)), (0o700, 0o600));
    assert_eq!(names(&dir.join("v1/layer")), [key.hex()]);
}

#[test]
fn damage_of_any_kind_counts_as_missing_and_is_stored_over() {
    let (_temp, cache, dir) = temp();
    let key = Digest::of(b"key");
    let path = dir.join("v1/layer").join(key.hex());
    cache.store("layer", &key, b"payload");
    let whole = fs::read(&path).expect("read");
    let changed = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    };
    let mut damaged: Vec<Vec<u8>> = (0..whole.len()).map(changed).collect();
    damaged.extend((0..whole.len()).map(|end| whole[..end].to_vec()));
    damaged.push([&whole[..], b"x"].concat());
    for bytes in damaged {
        fs::write(&path, bytes).expect("written");
        assert_eq!(cache.load("layer", &key), None);
    }
    assert_eq!(counts(cache.info()), info(0, 1, 0, 0, &dir));
    cache.store("layer", &key, b"payload");
    assert_eq!(cache.load("layer", &key), Some(b"payload".to_vec()));
    // An entry under another key or kind is not taken.
    let other = Digest::of(b"other");
    fs::copy(&path, dir.join("v1/layer").join(other.hex())).expect("copied");
    assert_eq!(cache.load("layer", &other), None);
    fs::create_dir(dir.join("v1/config")).expect("a directory");
    fs::copy(&path, dir.join("v1/config").join(key.hex())).expect("copied");
    assert_eq!(cache.load("config", &key), None);
    assert_eq!(
        counts(cache.prune(Some(SystemTime::UNIX_EPOCH))),
        info(0, 2, 0, 0, &dir)
    );
    assert_eq!(counts(cache.info()), info(1, 0, 0, 0, &dir));
}

#[test]
fn pruning_removes_what_is_old_and_nothing_foreign() {
    let (_temp, cache, dir) = temp();
    let (old, new) = (Digest::of(b"old"), Digest::of(b"new"));
    cache.store("layer", &old, b"old");
    cache.store("layer", &new, b"new");
    let day = |days: u64| SystemTime::UNIX_EPOCH + Duration::from_hours(24 * days);
    let kind = dir.join("v1/layer");
    let open = |digest: &Digest| File::open(kind.join(digest.hex())).expect("a file");
    open(&old).set_modified(day(100)).expect("a time");
    fs::create_dir_all(dir.join("v0/layer")).expect("directories");
    fs::create_dir_all(dir.join("v2/layer")).expect("directories");
    fs::create_dir_all(dir.join("mine")).expect("directories");
    for path in ["v0/layer", "v2/layer", "mine"] {
        fs::write(dir.join(path).join(old.hex()), "x").expect("written");
    }
    fs::write(kind.join("README"), "x").expect("written");
    let leftover = kind.join(format!(".customize-{}-Ab12cD", old.hex()));
    fs::write(&leftover, "x").expect("written");
    let live = Beside::create(&kind.join(new.hex()), 0o600).expect("a file");
    assert_eq!(counts(cache.info()), info(2, 0, 1, 1, &dir));
    assert_eq!(counts(cache.prune(Some(day(200)))), info(1, 0, 1, 1, &dir));
    assert_eq!(cache.load("layer", &new), Some(b"new".to_vec()));
    assert_eq!(names(&dir), ["mine", "v1", "v2"]);
    live.publish(false).expect("still there");
    assert_eq!(counts(cache.prune(None)), info(0, 1, 0, 0, &dir));
    assert_eq!(names(&kind), ["README"]);
    assert!(dir.join("mine").join(old.hex()).exists());
    assert!(dir.join("v2/layer").join(old.hex()).exists());
}

#[test]
fn what_is_used_stays_young() {
    let (_temp, cache, dir) = temp();
    let key = Digest::of(b"key");
    cache.store("layer", &key, b"x");
    let file = File::open(dir.join("v1/layer").join(key.hex())).expect("a file");
    file.set_modified(SystemTime::UNIX_EPOCH).expect("a time");
    assert!(cache.load("layer", &key).is_some());
    assert!(
        file.metadata()
            .expect("metadata")
            .modified()
            .expect("a time")
            > SystemTime::UNIX_EPOCH
    );
}

#[test]
fn stores_at_the_same_time_leave_one_whole_entry() {
    let (_temp, cache, dir) = temp();
    let key = Digest::of(b"key");
    let payload = vec![7; 100_000];
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..20 {
                    cache.store("layer", &key, &payload);
                    assert_eq!(cache.load("layer", &key).as_ref(), Some(&payload));
                }
            });
        }
    });
    assert_eq!(names(&dir.join("v1/layer")), [key.hex()]);
}

#[test]
fn a_directory_that_others_may_write_to_is_not_used() {
    let (_temp, _, dir) = temp();
    fs::create_dir_all(&dir).expect("directories");
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).expect("a mode");
    let cache = Cache::at(dir.clone());
    assert_eq!(
        cache.trouble(),
        Some(
            format!(
                "cannot use the cache {}: expected that no one else may write to it, found mode 0777",
                dir.display()
            )
            .as_str()
        )
    );
    let key = Digest::of(b"key");
    cache.store("layer", &key, b"x");
    assert_eq!(cache.load("layer", &key), None);
    assert_eq!(cache.info().expect("info"), CacheInfo::default());
    assert_eq!(names(&dir), [""; 0]);
}

#[test]
fn a_cache_that_cannot_be_written_says_so_once_asked() {
    let (temp, _, _) = temp();
    let file = temp.path().join("file");
    fs::write(&file, "").expect("written");
    assert!(Cache::at(file.clone()).trouble().is_some());
    assert!(Cache::at(file.join("cache")).trouble().is_some());
    let dir = temp.path().join("cache");
    let cache = Cache::at(dir.clone());
    fs::create_dir(&dir).expect("a directory");
    fs::write(dir.join("v1"), "").expect("written");
    cache.store("layer", &Digest::of(b"key"), b"x");
    let trouble = cache.trouble().expect("no directory");
    let expected = format!("cannot create {}/v1/layer: ", dir.display());
    assert!(trouble.starts_with(&expected), "{trouble}");
    assert_eq!(Cache::disabled().trouble(), None);
}

#[test]
fn the_default_directory() {
    let cases = [
        (Some("/xdg"), Some("/home/a"), Some("/xdg/customize")),
        (
            Some("xdg"),
            Some("/home/a"),
            Some("/home/a/.cache/customize"),
        ),
        (Some(""), Some("/home/a"), Some("/home/a/.cache/customize")),
        (None, Some("/home/a"), Some("/home/a/.cache/customize")),
        (None, Some("home"), None),
        (None, None, None),
    ];
    for (xdg, home, expected) in cases {
        let [xdg, home] = [xdg, home].map(|value| value.map(OsString::from));
        assert_eq!(
            default_dir(xdg.as_deref(), home.as_deref()),
            expected.map(PathBuf::from)
        );
    }
}

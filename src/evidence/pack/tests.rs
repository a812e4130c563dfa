//! A pack of evidence: the same bytes for the same evidence, and no byte that can be another.

use std::collections::BTreeMap;

use super::archive;
use super::key::{PublicKey, SigningKey};
use super::make::{Contents, log, pack, take};
use super::manifest::{MANIFEST, Purpose, SIGNATURE, Span, open};
use super::verify::verify;
use crate::access::Identity;
use crate::access::audit::{self, Deed};
use crate::evidence::period::{Finding, FindingKind};
use crate::evidence::tests::story::{Story, bundle, eventful, smooth, who};
use crate::journal::{Append, MemoryStore, Store as _, Taken, chain};
use crate::model::status::RunStatus;
use crate::model::{RunId, Timestamp};

fn key(seed: u8) -> SigningKey {
    SigningKey::of(&[seed; 32]).expect("a key")
}

/// A store with these runs.
pub fn stored(stories: &[&Story]) -> (MemoryStore, Vec<RunId>) {
    let store = MemoryStore::new();
    let runs = stories.iter().map(|story| put(&store, story)).collect();
    (store, runs)
}

/// Puts a run into a store.
pub fn put(store: &MemoryStore, story: &Story) -> RunId {
    store.put_blob(&bundle()).expect("a blob");
    let lines: Vec<String> = story.records().iter().map(chain::encode).collect();
    let run = story.report().run;
    let mut head = super::verify::head_of(&run, &lines).expect("a journal");
    head.status = RunStatus::Running;
    store.create(&head).expect("a new run");
    let Taken::Yes { epoch } = store.take(&run).expect("nobody holds it") else { panic!("nobody holds it") };
    let hash = chain::fold_all(&chain::START, lines.iter().map(String::as_str));
    let status = story.report().status;
    store
        .append(Append {
            run: run.clone(),
            epoch,
            first_seq: 0,
            lines,
            blobs: Vec::new(),
            hash,
            consumed: Vec::new(),
            status,
            detail: String::new(),
            updated: head.updated,
        })
        .expect("an append");
    run
}

fn packed(seed: u8) -> Vec<u8> {
    let (store, runs) = stored(&[&eventful(7, 0)]);
    let mut blobs = BTreeMap::new();
    let runs = runs.iter().map(|run| take(&store, run, &mut blobs).expect("a run")).collect();
    pack(&Contents { period: None, runs, blobs, log: Vec::new() }, &key(seed)).expect("a pack")
}

fn period() -> Vec<u8> {
    let stories = [smooth(1, 0, 60), eventful(2, 86_400)];
    let (store, runs) = stored(&[&stories[0], &stories[1]]);
    let who = Identity::asserted(&who("alice@ops"));
    for deed in ["start", "approve"] {
        audit::record(&store, &who, &Deed::done(deed, "run 1"), Timestamp::UNIX_EPOCH, &|_| Ok(Vec::new()))
            .expect("logged");
    }
    let log = log(&store).expect("a log");
    let mut blobs = BTreeMap::new();
    let runs = runs.iter().map(|run| take(&store, run, &mut blobs).expect("a run")).collect();
    let since = stories[0].records()[0].at;
    let span = Span { since, until: since + std::time::Duration::from_secs(864_000), playbook: None };
    let finding =
        Finding { at: since, kind: FindingKind::Tick, about: "nightly".to_owned(), text: "missed".to_owned() };
    pack(&Contents { period: Some((span, vec![finding])), runs, blobs, log }, &key(1)).expect("a pack")
}

/// A pack taken apart, changed, and put together again without the key.
fn changed(bytes: &[u8], change: impl FnOnce(&mut Vec<(String, Vec<u8>)>)) -> Vec<u8> {
    let members = archive::read(bytes).expect("an archive");
    let mut members: Vec<(String, Vec<u8>)> =
        members.iter().map(|(name, content)| ((*name).to_owned(), content.to_vec())).collect();
    change(&mut members);
    archive::write(members.iter().map(|(name, content)| (name.as_str(), content.as_slice()))).expect("an archive")
}

#[test]
fn the_same_evidence_gives_the_same_bytes_and_is_found_whole() {
    let bytes = packed(1);
    assert_eq!(bytes, packed(1));
    let found = verify(&bytes, Some(&key(1).public())).expect("whole");
    assert_eq!((found.runs.len(), found.reports), (1, Ok(2)));
    let found = verify(&period(), None).expect("whole");
    assert_eq!((found.runs.len(), found.reports, found.log), (2, Ok(6), Some(2)));
}

#[test]
fn any_changed_byte_is_found() {
    let whole = packed(1);
    let mut bytes = whole.clone();
    // All of what describes the rest, all headers and what stands between members, and a sample of the contents.
    let structure = |at: usize| at < 8192 || at % 512 < 16 || at + 2048 > whole.len();
    for at in (0..whole.len()).filter(|at| structure(*at) || at % 23 == 0) {
        for bit in [0x01, 0x20] {
            bytes[at] ^= bit;
            assert!(verify(&bytes, None).is_err(), "byte {at} of {}: {:?}", whole.len(), whole[at] as char);
            bytes[at] ^= bit;
        }
    }
    assert_eq!(bytes, whole);
}

#[test]
fn what_is_cut_off_put_on_or_moved_is_found() {
    let whole = packed(1);
    for length in (0..whole.len()).step_by(509).chain([whole.len() - 1, whole.len() - 512]) {
        assert!(verify(&whole[..length], None).is_err(), "cut to {length}");
    }
    for more in [&b"x"[..], &[0; 1], &[0; 512], &whole] {
        assert!(verify(&[&whole, more].concat(), None).is_err(), "{} bytes more", more.len());
    }
    let count = archive::read(&whole).expect("an archive").len();
    for at in 0..count {
        let without = changed(&whole, |members| drop(members.remove(at)));
        assert!(verify(&without, None).is_err(), "without member {at}");
        let twice = changed(&whole, |members| {
            let (name, content) = members[at].clone();
            members.push((format!("{name}.again"), content));
        });
        assert!(verify(&twice, None).is_err(), "member {at} twice");
        let swapped = changed(&whole, |members| members.swap(at, (at + 1) % count));
        assert!(verify(&swapped, None).is_err(), "member {at} after the next");
        let exchanged = changed(&whole, |members| {
            let other = members[(at + 1) % count].1.clone();
            members[at].1 = other;
        });
        assert!(verify(&exchanged, None).is_err(), "the content of member {at} is the next one's");
    }
    let mut doubled = whole.clone();
    let first = archive::read(&whole).expect("an archive")[0].1.len();
    let header_and_content = 512 + first.next_multiple_of(512);
    doubled.splice(0..0, whole[..header_and_content].to_vec());
    assert!(verify(&doubled, None).is_err(), "a name twice");
}

#[test]
fn another_key_is_seen_when_one_is_given_and_told_when_none_is() {
    let theirs = packed(2);
    assert!(verify(&theirs, Some(&key(1).public())).is_err_and(|error| error.to_string().contains("another key")));
    let found = verify(&theirs, None).expect("whole");
    assert_eq!(found.signer, key(2).public());
    assert_ne!(found.signer.fingerprint(), key(1).public().fingerprint());
    // The signature of one, with the public key of the other.
    let mixed = changed(&packed(1), |members| {
        let text = String::from_utf8(members[1].1.clone()).expect("text");
        members[1].1 = text.replace(&key(1).public().to_string(), &key(2).public().to_string()).into_bytes();
    });
    assert!(verify(&mixed, None).is_err());
}

#[test]
fn a_report_that_does_not_follow_is_found_though_it_is_signed() {
    let whole = packed(1);
    let opened = open(&whole, Purpose::Evidence, None).expect("whole");
    let mut members: Vec<(String, Vec<u8>)> =
        opened.members.iter().map(|(name, content)| ((*name).to_owned(), content.to_vec())).collect();
    let seal = |members: &Vec<(String, Vec<u8>)>| {
        super::manifest::seal(opened.manifest.clone(), members, &key(1)).expect("a pack")
    };
    assert!(verify(&seal(&members), None).is_ok());
    let report = members.iter_mut().find(|(name, _)| name.ends_with("report.json")).expect("a report");
    let text = String::from_utf8(report.1.clone()).expect("text").replace("\"rto_kept\": false", "\"rto_kept\": true");
    assert_ne!(text.as_bytes(), report.1);
    report.1 = text.into_bytes();
    let said = verify(&seal(&members), None).expect_err("it does not follow").to_string();
    assert!(said.contains("does not follow"), "{said}");
}

#[test]
fn a_signature_for_one_purpose_is_none_for_another() {
    assert!(open(&packed(1), Purpose::Handover, None).is_err());
}

#[test]
fn hostile_archives_are_refused() {
    let raw = |name: &str, kind: tar::EntryType, size: u64| {
        let mut header = tar::Header::new_ustar();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(size);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_entry_type(kind);
        header.set_cksum();
        [&header.as_bytes()[..], &[0; 1024]].concat()
    };
    use tar::EntryType::{Directory, GNUSparse, Link, Regular, Symlink, XHeader};
    assert!(archive::read(&raw("a", Regular, 0)).is_ok());
    for kind in [Symlink, Link, Directory, XHeader, GNUSparse] {
        assert!(archive::read(&raw("a", kind, 0)).is_err(), "{kind:?}");
    }
    for name in ["/etc/passwd", "../a", "a/../b", "a//b", "a/", ".a", "a\\b", "a b", ""] {
        assert!(archive::read(&raw(name, Regular, 0)).is_err(), "{name}");
    }
    for size in [1, 513, 1 << 20, 0o77_777_777_777] {
        assert!(archive::read(&raw("a", Regular, size)).is_err(), "{size} bytes that are not there");
    }
    assert!(archive::read(&[]).is_err());
    assert!(archive::read(&[0; 512]).is_err());
    assert!(archive::read(&[0; 1024]).is_ok_and(|members| members.is_empty()));
    assert!(verify(&[0; 1024], None).is_err(), "nothing is no evidence");
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let bytes = archive::write([(MANIFEST, deep.as_bytes()), (SIGNATURE, deep.as_bytes())]).expect("an archive");
    assert!(verify(&bytes, None).is_err());
}

#[test]
fn a_public_key_parses_what_it_prints() {
    let key = key(1).public();
    assert_eq!(PublicKey::parse(&format!("{key}\n")), Some(key));
    assert_eq!(key.fingerprint().split(' ').count(), 8);
    for text in ["", "muster-ed25519:", "muster-ed25519:zz", &format!("{key}00"), &key.to_string().to_uppercase()] {
        assert_eq!(PublicKey::parse(text), None, "{text}");
    }
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_the_reader_stumble(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..2000)) {
        let _ = verify(&bytes, None);
    }
}

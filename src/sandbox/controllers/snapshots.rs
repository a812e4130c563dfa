//! Snapshots of volumes by CSI: taken of a claim's volume, or of contents that were there before.

use serde_json::json;

use super::{Desk, letters, stamp, text};
use crate::model::Value;
use crate::sandbox::veil;

/// How long a storage takes over a snapshot, in milliseconds.
const SNAPSHOT_MS: u64 = 10_000;
/// By whom snapshots of volumes are that say nothing of a driver.
const DRIVER: &str = "csi.example.com";

/// Takes a snapshot; lets go of the contents of one that is gone.
pub(super) fn snapshot(desk: &mut Desk<'_>, key: &str) {
    let cluster = key.split('/').next().unwrap_or_default().to_owned();
    let Some(object) = desk.object(key).cloned() else { return released(desk, &cluster, key) };
    if desk.held(key).is_none_or(|held| held.since.is_none()) || object["status"]["readyToUse"] == json!(true) {
        return;
    }
    if !desk.passed(key, SNAPSHOT_MS) {
        return desk.set_status(key, json!({ "readyToUse": false }));
    }
    let source = &object["spec"]["source"];
    if source["persistentVolumeClaimName"].is_string() && (desk.manner.planned || desk.manner.partial) {
        let why = |what: &str| veil::mark(&format!("the {what} that the storage gives its snapshot"));
        let status = json!({
            "boundVolumeSnapshotContentName": why("name"), "creationTime": why("time"), "readyToUse": true, "restoreSize": why("size"),
        });
        return desk.set_status(key, status);
    }
    let found = match source["volumeSnapshotContentName"].as_str() {
        Some(name) => adopted(desk, &cluster, &object, name),
        None => taken(desk, &cluster, key, &object),
    };
    match found {
        Ok((name, content)) => {
            let told = &content["status"];
            let status = json!({
                "boundVolumeSnapshotContentName": name, "creationTime": told["creationTime"], "readyToUse": true,
                "restoreSize": told["restoreSize"],
            });
            desk.set_status(key, status);
        }
        Err(why) => desk.set_status(key, json!({ "readyToUse": false, "error": { "message": why } })),
    }
}

/// The contents that an administrator has put there, whose handle the storage knows.
fn adopted(desk: &mut Desk<'_>, cluster: &str, object: &Value, name: &str) -> Result<(String, Value), String> {
    let at = format!("{cluster}/-/volumesnapshotcontent/{name}");
    let Some(content) = desk.object(&at).cloned() else { return Err(format!("there are no contents {name}")) };
    let wanted = &content["spec"]["volumeSnapshotRef"];
    let metadata = &object["metadata"];
    if (&wanted["name"], &wanted["namespace"]) != (&metadata["name"], &metadata["namespace"]) {
        return Err(format!("contents {name} are of another snapshot"));
    }
    let handle = text(&content, "/spec/source/snapshotHandle").to_owned();
    let created = content["status"]["creationTime"].clone();
    desk.set_status(
        &at,
        json!({ "readyToUse": true, "snapshotHandle": handle, "restoreSize": 8_589_934_592_u64, "creationTime": created }),
    );
    Ok((name.to_owned(), told(desk, &at)))
}

/// New contents, of the volume that the claim is bound to.
fn taken(desk: &mut Desk<'_>, cluster: &str, key: &str, object: &Value) -> Result<(String, Value), String> {
    let claim = desk.sibling(key, "persistentvolumeclaim", text(object, "/spec/source/persistentVolumeClaimName"));
    let Some(claim) = desk.object(&claim).cloned() else { return Err("there is no such claim".to_owned()) };
    let volume = text(&claim, "/spec/volumeName").to_owned();
    let found = desk.object(&format!("{cluster}/-/persistentvolume/{volume}")).cloned().unwrap_or_default();
    let driver = match text(&found, "/spec/csi/driver") {
        "" => DRIVER,
        driver => driver,
    };
    let named = text(object, "/spec/volumeSnapshotClassName").to_owned();
    let Some(class) = class(desk, cluster, &named, driver) else {
        return Err(format!("there is no class of snapshots by {driver}"));
    };
    let (uid, at) = (text(object, "/metadata/uid").to_owned(), stamp(desk.at));
    let name = format!("snapcontent-{uid}");
    let place = format!("{cluster}/-/volumesnapshotcontent/{name}");
    let metadata = &object["metadata"];
    let content = json!({
        "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshotContent", "metadata": { "name": name },
        "spec": {
            "driver": driver, "deletionPolicy": class["deletionPolicy"], "volumeSnapshotClassName": class["metadata"]["name"],
            "source": { "volumeHandle": volume },
            "volumeSnapshotRef": { "name": metadata["name"], "namespace": metadata["namespace"], "uid": uid },
        },
        "status": {
            "readyToUse": true, "restoreSize": 8_589_934_592_u64, "creationTime": at,
            "snapshotHandle": format!("snap-{}", letters(key, 10)),
        },
    });
    desk.make(&place, content, None);
    Ok((name, told(desk, &place)))
}

/// The contents with their time and size as a snapshot shows them.
fn told(desk: &Desk<'_>, at: &str) -> Value {
    let mut content = desk.object(at).cloned().unwrap_or_default();
    content["status"]["restoreSize"] = json!("8Gi");
    content
}

/// The class of that name, or the default one for a driver.
fn class(desk: &Desk<'_>, cluster: &str, name: &str, driver: &str) -> Option<Value> {
    let is_meant = |class: &Value| {
        let default = &class["metadata"]["annotations"]["snapshot.storage.kubernetes.io/is-default-class"];
        class["driver"] == driver && (class["metadata"]["name"] == name || name.is_empty() && default == "true")
    };
    let mut all = desk.beside(&format!("{cluster}/-/x"), "volumesnapshotclass");
    all.find(|(_, class)| is_meant(class)).map(|(_, class)| class.clone())
}

/// The contents of a snapshot that is gone go too, unless they are to be kept.
fn released(desk: &mut Desk<'_>, cluster: &str, key: &str) {
    let mut parts = key.split('/').skip(1);
    let (namespace, name) = (parts.next().unwrap_or_default(), parts.nth(1).unwrap_or_default());
    let doomed = |content: &Value| {
        text(content, "/spec/volumeSnapshotRef/namespace") == namespace
            && text(content, "/spec/volumeSnapshotRef/name") == name
            && text(content, "/spec/deletionPolicy") != "Retain"
    };
    let all = desk.beside(&format!("{cluster}/-/x"), "volumesnapshotcontent");
    let gone: Vec<String> = all.filter(|(_, content)| doomed(content)).map(|(key, _)| key.clone()).collect();
    for key in gone {
        desk.remove(&key);
    }
}

/// Whether a claim has to wait for the snapshot that it is filled from.
pub(super) fn awaited(desk: &Desk<'_>, key: &str, claim: &Value) -> bool {
    let source = &claim["spec"]["dataSource"];
    if source["kind"] != "VolumeSnapshot" {
        return false;
    }
    let at = desk.sibling(key, "volumesnapshot", source["name"].as_str().unwrap_or_default());
    desk.object(&at).is_none_or(|snapshot| snapshot["status"]["readyToUse"] != json!(true))
}

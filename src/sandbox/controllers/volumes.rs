//! Volume claims: bound to volumes of their own, which go with them or stay.

use serde_json::json;

use super::{Desk, letters, pgo, snapshots, text};
use crate::model::Value;

/// How long a volume takes until it is bound, in milliseconds.
const VOLUME_MS: u64 = 2_000;

/// Binds a claim; lets go of the volume of one that is gone.
pub(super) fn claim(desk: &mut Desk<'_>, key: &str) {
    let Some(object) = desk.object(key).cloned() else {
        pgo::claims_gone(desk, key);
        return released(desk, key);
    };
    if desk.held(key).is_none_or(|held| held.since.is_none()) {
        return;
    }
    let early = !desk.passed(key, VOLUME_MS);
    let awaited = !early && snapshots::awaited(desk, key, &object);
    if awaited {
        desk.defer(key, Some(VOLUME_MS));
    }
    if early || awaited {
        return desk.set_status(key, json!({ "phase": "Pending" }));
    }
    if !desk.manner.partial {
        let cluster = key.split('/').next().unwrap_or_default().to_owned();
        let name = match text(&object, "/spec/volumeName") {
            "" => format!("pvc-{}", letters(key, 12)),
            named => named.to_owned(),
        };
        let class = format!("{cluster}/-/storageclass/{}", text(&object, "/spec/storageClassName"));
        let policy = desk.object(&class).map_or("Delete", |class| match text(class, "/reclaimPolicy") {
            "" => "Delete",
            policy => policy,
        });
        let metadata = &object["metadata"];
        let claim = json!({ "kind": "PersistentVolumeClaim", "namespace": metadata["namespace"], "name": metadata["name"], "uid": metadata["uid"] });
        let volume = json!({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": { "name": name },
            "spec": {
                "capacity": object["spec"]["resources"]["requests"], "claimRef": claim, "storageClassName": object["spec"]["storageClassName"],
                "persistentVolumeReclaimPolicy": policy,
            },
            "status": { "phase": "Bound" },
        });
        desk.make(&format!("{cluster}/-/persistentvolume/{name}"), volume, None);
        desk.edit(key, |object| object["spec"]["volumeName"] = json!(name));
    }
    let mut status = json!({ "phase": "Bound" });
    let capacity = &object["spec"]["resources"]["requests"];
    if capacity.is_object() {
        status["capacity"] = capacity.clone();
    }
    desk.set_status(key, status);
}

/// The volume of a claim that is gone goes too, unless it is to be kept.
fn released(desk: &mut Desk<'_>, key: &str) {
    let mut parts = key.split('/');
    let (cluster, namespace) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let name = parts.nth(1).unwrap_or_default();
    let of_it = |volume: &Value| {
        text(volume, "/spec/claimRef/namespace") == namespace && text(volume, "/spec/claimRef/name") == name
    };
    let volumes = desk.beside(&format!("{cluster}/-/x"), "persistentvolume").filter(|(_, volume)| of_it(volume));
    let volumes: Vec<(String, bool)> = volumes
        .map(|(key, volume)| (key.clone(), text(volume, "/spec/persistentVolumeReclaimPolicy") == "Retain"))
        .collect();
    for (volume, stays) in volumes {
        if stays {
            desk.set_status(&volume, json!({ "phase": "Released" }));
        } else {
            desk.remove(&volume);
        }
    }
}

//! Family `s3`: objects, their versions, and what their buckets are set to. What a call puts there bears its key, so that it is
//! found again.

mod bucket;
mod copy;
mod delete;
mod get;
mod list;
mod made;
mod object;
mod put;

use crate::ops::spec::{self, OpEntry};

pub(super) fn entries() -> Vec<OpEntry> {
    vec![
        spec::read::<bucket::Look>(),
        spec::read::<object::Head>(),
        spec::read::<list::List>(),
        spec::read::<list::Versions>(),
        spec::write::<put::PutFile>(),
        spec::write::<get::GetFile>(),
        spec::write::<copy::Copy>(),
        spec::write::<delete::Delete>(),
        spec::write::<delete::RemoveMarker>(),
        spec::write::<made::RemoveMade>(),
    ]
}

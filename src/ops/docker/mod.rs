//! Family `docker`: containers and volumes, through the `podman` or `docker` binary, whichever is there.

mod args;
pub mod client;
mod copy;
mod create;
mod exec;
pub mod inside;
pub mod inspect;
mod lifecycle;
mod read;
mod run;
mod volume;

pub(in crate::ops) use args::{check_name, file_resource};
pub(in crate::ops) use copy::file_fingerprint;

use super::spec::{self, OpEntry};

/// The entries of the family.
#[must_use]
pub fn entries() -> Vec<OpEntry> {
    vec![
        spec::read::<read::Info>(),
        spec::read::<read::Inspect>(),
        spec::read::<read::Image>(),
        spec::read::<read::List>(),
        spec::read::<read::Volume>(),
        spec::read::<volume::ListVolumes>(),
        spec::read::<read::ReadInside>(),
        spec::wait::<read::WaitHealthy>(),
        spec::write::<lifecycle::Start>(),
        spec::write::<lifecycle::Stop>(),
        spec::write::<exec::Exec>(),
        spec::write::<run::Run>(),
        spec::write::<create::CreateContainer>(),
        spec::write::<create::RemoveContainer>(),
        spec::write::<volume::CreateVolume>(),
        spec::write::<volume::RemoveVolume>(),
        spec::write::<copy::CopyOut>(),
        spec::write::<copy::CopyIn>(),
    ]
}

//! Family `pg`: PostgreSQL, through its own tools, in the server's container or on this host.

mod archive;
mod census;
mod client;
mod contents;
mod database;
mod dump;
mod execute;
mod lexer;
mod read;
mod rename;
mod restore;
mod sessions;

use super::spec::{self, OpEntry};

/// The entries of the family.
#[must_use]
pub fn entries() -> Vec<OpEntry> {
    vec![
        spec::read::<read::ReadServer>(),
        spec::read::<read::Databases>(),
        spec::read::<read::ReadRows>(),
        spec::read::<census::Census>(),
        spec::wait::<read::WaitReady>(),
        spec::read::<archive::CheckDump>(),
        spec::write::<database::CreateDatabase>(),
        spec::write::<database::DropDatabase>(),
        spec::write::<rename::RenameDatabases>(),
        spec::write::<dump::Dump>(),
        spec::write::<restore::Restore>(),
        spec::write::<contents::EmptyDatabase>(),
        spec::write::<execute::Execute>(),
        spec::write::<sessions::Terminate>(),
        spec::write::<sessions::AllowConnections>(),
    ]
}

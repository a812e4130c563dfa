//! Containers in the world.

use crate::sandbox::World;

/// Opens the database sessions that a container holds while it runs.
pub fn connect(world: &mut World, name: &str) {
    let Some(sessions) = world.containers.get(name).map(|container| container.sessions.clone()) else { return };
    for (place, count) in sessions {
        if let Some((server, database)) = place.rsplit_once('/')
            && let Some(server) = world.postgres.get_mut(server)
            && let Some(database) = server.databases.get_mut(database)
        {
            database.sessions.insert(name.to_owned(), count);
        }
    }
}

/// Closes all database sessions of a container.
pub fn disconnect(world: &mut World, name: &str) {
    for server in world.postgres.values_mut() {
        for database in server.databases.values_mut() {
            database.sessions.remove(name);
        }
    }
}

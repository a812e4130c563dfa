//! Tells webhooks what happens to runs, once a second, as long as this server leads.

use std::sync::Arc;
use std::time::Duration;

use super::server::{Phase, Server};
use crate::evidence::notify::config::Config;
use crate::evidence::notify::outbox::Outbox;
use crate::evidence::notify::send::Http;

/// How often it is looked what there is to tell.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Tells on a thread of its own: a receiver that hangs holds up nobody else. When the server ends, nobody waits for it: what was not told
/// by then is told by the next.
///
/// # Errors
/// When the system gives no thread.
pub fn watch(server: &Arc<Server>, config: Config) -> std::io::Result<()> {
    let server = Arc::clone(server);
    std::thread::Builder::new().name("messages".to_owned()).spawn(move || tell(&server, config)).map(drop)
}

fn tell(server: &Server, config: Config) {
    let outbox = Outbox::new(server.app.store(), config, Box::new(Http));
    let mut failing = false;
    while server.phase() == Phase::Leading {
        match outbox.turn(server.app.clock.now()) {
            Ok(turn) => {
                failing = false;
                for failed in &turn.failed {
                    tracing::warn!(message = %failed, "a message was not taken; tried again later");
                }
                for lost in &turn.lost {
                    tracing::error!(message = %lost, "a message was given up after a day");
                }
            }
            // Told once: a full disk stays full for a while.
            Err(error) if !failing => {
                failing = true;
                tracing::error!(%error, "messages cannot be sent; tried again");
            }
            Err(_) => {}
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

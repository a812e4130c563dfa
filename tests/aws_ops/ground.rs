//! A live host, a server that stands for AWS, and a proxy between them.

use serde_json::{Value, json};

use crate::aws;
use crate::faulty::Faulty;
use crate::live_world::LiveWorld;

/// What a test stands on.
pub struct Ground {
    pub world: LiveWorld,
    pub proxy: Faulty,
    _dir: tempfile::TempDir,
}

impl Ground {
    pub fn new() -> Self {
        let server = aws::server();
        let dir = tempfile::tempdir().unwrap();
        Self { world: LiveWorld::under(dir.path()), proxy: Faulty::before(server.address), _dir: dir }
    }

    /// The way through the proxy.
    pub fn access(&self) -> Value {
        json!({ "region": "eu-west-1", "endpoint": self.proxy.url() })
    }

    /// The arguments with the way through the proxy.
    pub fn through(&self, mut args: Value) -> Value {
        args["aws"] = self.access();
        args
    }
}

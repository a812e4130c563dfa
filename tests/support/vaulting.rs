//! A small local server of this test suite that stands for the part of AWS Backup that no server from PyPI has: jobs, recovery points,
//! restores, and what plans select; and for what places the tasks of ECS. It stands in front of moto, which has vaults, plans and all other
//! services, and hands everything else on to it. A job takes one step each time that it is described, so that every state is seen; how
//! it ends, a test says.

#![allow(dead_code, reason = "each test file uses what it needs")]

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::{Value, json};

/// The time of everything: nothing here hangs on the clock.
const NOW: u64 = 4_000_000_000;

#[derive(Default)]
struct State {
    moto: Option<SocketAddr>,
    jobs: BTreeMap<String, Value>,
    points: BTreeMap<String, Value>,
    restores: BTreeMap<String, Value>,
    selections: BTreeMap<String, Value>,
    /// What was begun with which token.
    tokens: BTreeMap<String, String>,
    jobs_go: Vec<&'static str>,
    restores_go: Vec<&'static str>,
    /// The access policies of vaults.
    policies: BTreeMap<String, String>,
    /// The account of moto, its usual one when empty.
    account: String,
    /// Whether the tasks of services of ECS come and go as the services want them.
    places: bool,
    count: usize,
}

/// The server. It ends with the process.
pub struct Vaulting {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Vaulting {
    /// In front of this server.
    pub fn before(moto: SocketAddr) -> Self {
        Self::in_account(moto, "")
    }

    /// In front of this server, which is told to see this account in all that is asked of it here.
    pub fn in_account(moto: SocketAddr, account: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let go = vec!["PENDING", "RUNNING", "COMPLETED"];
        let state = State {
            moto: Some(moto),
            jobs_go: go.clone(),
            restores_go: go,
            account: account.to_owned(),
            ..State::default()
        };
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || drop(serve(&stream, &shared)));
            }
        });
        Self { address, state }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics here")
    }

    /// The states that backup jobs go through from now on.
    pub fn jobs_go(&self, through: &[&'static str]) {
        self.state().jobs_go = through.to_vec();
    }

    /// The states that restore jobs go through from now on.
    pub fn restores_go(&self, through: &[&'static str]) {
        self.state().restores_go = through.to_vec();
    }

    /// Gives a vault an access policy.
    pub fn guard(&self, vault: &str, policy: &Value) {
        self.state().policies.insert(vault.to_owned(), policy.to_string());
    }

    /// How many backup jobs there ever were.
    pub fn jobs(&self) -> usize {
        self.state().jobs.len()
    }

    /// The restore jobs that there ever were.
    pub fn restores(&self) -> Vec<Value> {
        self.state().restores.values().cloned().collect()
    }

    /// What was asked of jobs of all kinds that there ever were, each as it was begun.
    pub fn asked(&self) -> Vec<Value> {
        let state = self.state();
        state.jobs.values().chain(state.restores.values()).map(|job| job["asked"].clone()).collect()
    }

    /// What a plan selects.
    pub fn selected(&self, plan: &str) -> Vec<Value> {
        let state = self.state();
        state.selections.values().filter(|one| one["BackupPlanId"] == plan).cloned().collect()
    }

    /// The recovery points that there are.
    pub fn points(&self) -> Vec<Value> {
        self.state().points.values().cloned().collect()
    }

    /// A recovery point that somebody made, of the file system with this ARN.
    pub fn keep(&self, vault: &str, resource: &str, status: &str) -> String {
        let mut state = self.state();
        state.count += 1;
        let arn = format!("arn:aws:backup:us-east-1:123456789012:recovery-point:kept-{}", state.count);
        let point = point(&arn, vault, resource, status, &json!({}));
        state.points.insert(arn.clone(), point);
        arn
    }

    /// Asks moto itself for something, past everything that is tested here.
    pub fn ask(&self, service: &str, method: &str, path: &str, body: &str) -> String {
        let moto = self.state().moto();
        moto.ask(service, method, path, "", body).expect("moto answers")
    }

    /// From now on the tasks of a service come and go as it wants them: moto places none.
    pub fn places_tasks(&self) {
        let_tasks_run(self.state().moto().address);
        self.state().places = true;
    }
}

/// Tells moto that tasks go on running however often they are looked at: otherwise each look is a step on their way to their end.
fn let_tasks_run(moto: SocketAddr) {
    let wanted = json!({ "model_name": "ecs::task", "transition": { "progression": "manual", "times": 1_000_000 } });
    let told = Moto { address: moto, account: String::new() };
    let answer = told.ask("moto", "POST", "/moto-api/state-manager/set-transition", "", &wanted.to_string());
    assert!(answer.expect("moto answers").starts_with("HTTP/1.1 2"), "tasks cannot be let run");
}

/// Moto, and the account that is meant there.
struct Moto {
    address: SocketAddr,
    account: String,
}

impl Moto {
    /// Has the tasks of a service be as it wants them: all of them new ones.
    fn place(&self, asked: &Value) -> io::Result<()> {
        let (cluster, name) = (&asked["cluster"], &asked["service"]);
        let ecs = |call: &str, body: Value| -> io::Result<Value> {
            let target = format!("X-Amz-Target: AmazonEC2ContainerServiceV20141113.{call}\r\n");
            let answer = self.ask("ecs", "POST", "/", &target, &body.to_string())?;
            Ok(serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap_or_default())?)
        };
        let found = ecs("DescribeServices", json!({ "cluster": cluster, "services": [name] }))?;
        let service = &found["services"][0];
        // Of the tasks one cannot tell whose they are: a cluster has one service here.
        let listed = ecs("ListTasks", json!({ "cluster": cluster, "desiredStatus": "RUNNING" }))?;
        let running = listed["taskArns"].as_array().cloned().unwrap_or_default();
        if asked["forceNewDeployment"] != true && service["desiredCount"] == running.len() {
            return Ok(());
        }
        for task in running {
            ecs("StopTask", json!({ "cluster": cluster, "task": task }))?;
        }
        if service["desiredCount"] != 0 {
            let definition = &service["taskDefinition"];
            let wanted = json!({
                "cluster": cluster, "taskDefinition": definition, "launchType": "FARGATE", "count": service["desiredCount"],
            });
            ecs("RunTask", wanted)?;
        }
        Ok(())
    }

    fn ask(&self, service: &str, method: &str, path: &str, lines: &str, body: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect(self.address)?;
        let kind = match service {
            "ec2" => "application/x-www-form-urlencoded",
            "ecs" => "application/x-amz-json-1.1",
            _ => "application/json",
        };
        let account = match self.account.as_str() {
            "" => String::new(),
            account => format!("X-Moto-Account-Id: {account}\r\n"),
        };
        let text = format!(
            "{method} {path} HTTP/1.1\r\nHost: {service}.us-east-1.amazonaws.com\r\nConnection: close\r\n{lines}{account}\
             Content-Type: {kind}\r\nAuthorization: AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/{service}/aws4_request, SignedHeaders=host, \
         Signature=0\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(text.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

fn point(arn: &str, vault: &str, resource: &str, status: &str, tags: &Value) -> Value {
    json!({
        "RecoveryPointArn": arn, "BackupVaultName": vault, "ResourceArn": resource, "ResourceType": "EFS", "Status": status,
        "CreationDate": NOW, "CompletionDate": NOW, "BackupSizeInBytes": 4096, "IsEncrypted": true, "tags": tags,
    })
}

fn serve(client: &TcpStream, shared: &Mutex<State>) -> io::Result<()> {
    let (head, body) = message(client)?;
    let mut words = head.split_whitespace();
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let (path, query) = (decoded(path), decoded(query));
    let backup = head.contains("/backup/aws4_request");
    let places = head.contains("ServiceV20141113.UpdateService");
    let answer = if backup { own(shared, method, &path, &query, &body)? } else { None };
    match answer {
        Some(answer) => say(client, answer),
        None => {
            // Moto has some paths with a slash at their end, and AWS's Rust client sends none.
            let path = if backup && path == "/backup-vaults" { "/backup-vaults/" } else { target };
            let (moto, placing) = {
                let state = shared.lock().expect("no test panics here");
                (state.moto(), places && state.places)
            };
            let answer = forward(moto.address, &head, path, &body)?;
            if placing {
                moto.place(&serde_json::from_slice(&body)?)?;
            }
            (&*client).write_all(&answer)
        }
    }
}

type Answer = Result<Value, (u16, &'static str)>;

fn own(shared: &Mutex<State>, method: &str, path: &str, query: &str, body: &[u8]) -> io::Result<Option<Answer>> {
    let mut state = shared.lock().expect("no test panics here");
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let missing = || Err((400, "ResourceNotFoundException"));
    let asked = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}=")));
    let shown = |all: &BTreeMap<String, Value>, fits: &dyn Fn(&Value) -> bool| -> Vec<Value> {
        all.values().filter(|one| fits(one)).cloned().collect()
    };
    Ok(Some(match (method, parts.as_slice()) {
        ("PUT", ["backup-jobs"]) => Ok(state.start_job(&body)),
        ("GET", ["backup-jobs"]) => {
            let fits = |one: &Value| {
                asked("resourceArn").is_none_or(|arn| one["ResourceArn"] == arn)
                    && asked("backupVaultName").is_none_or(|vault| one["BackupVaultName"] == vault)
            };
            Ok(json!({ "BackupJobs": shown(&state.jobs, &fits) }))
        }
        ("GET", ["backup-jobs", id]) => {
            state.step_job(id);
            state.jobs.get(*id).cloned().map_or_else(missing, Ok)
        }
        ("POST", ["backup-jobs", id]) => match state.jobs.get_mut(*id) {
            Some(job) if job["go"].as_array().is_some_and(|go| !go.is_empty()) => {
                job["go"] = json!(["ABORTED"]);
                job["State"] = json!("ABORTING");
                let arn = job["RecoveryPointArn"].as_str().unwrap_or_default().to_owned();
                state.points.remove(&arn);
                Ok(json!({}))
            }
            Some(_) => Err((400, "InvalidRequestException")),
            None => missing(),
        },
        ("GET", ["backup-vaults", vault, "access-policy"]) => match state.policies.get(*vault) {
            Some(policy) => Ok(json!({ "BackupVaultName": vault, "Policy": policy })),
            None => missing(),
        },
        ("GET", ["backup-vaults", vault, "recovery-points"]) => {
            let fits = |one: &Value| {
                one["BackupVaultName"] == *vault && asked("resourceArn").is_none_or(|arn| one["ResourceArn"] == arn)
            };
            Ok(json!({ "RecoveryPoints": shown(&state.points, &fits) }))
        }
        ("GET", ["backup-vaults", _, "recovery-points", arn]) => {
            state.points.get(*arn).cloned().map_or_else(missing, Ok)
        }
        ("DELETE", ["backup-vaults", _, "recovery-points", arn]) => {
            if state.points.remove(*arn).is_some() {
                Ok(json!({}))
            } else {
                missing()
            }
        }
        ("GET", ["backup-vaults", _, "recovery-points", arn, "restore-metadata"]) => match state.points.get(*arn) {
            Some(point) => {
                let id = point["ResourceArn"].as_str().and_then(|arn| arn.rsplit('/').next()).unwrap_or_default();
                let metadata =
                    json!({ "file-system-id": id, "Encrypted": "true", "KmsKeyId": "kms-1", "newFileSystem": "true" });
                Ok(json!({ "RecoveryPointArn": arn, "RestoreMetadata": metadata, "ResourceType": "EFS" }))
            }
            None => missing(),
        },
        ("GET", ["tags", arn @ ..]) => match state.points.get(&arn.join("/")) {
            Some(point) => Ok(json!({ "Tags": point["tags"] })),
            None => return Ok(None),
        },
        ("PUT", ["restore-jobs"]) => Ok(state.start_restore(&body)),
        ("GET", ["restore-jobs"]) => Ok(json!({ "RestoreJobs": shown(&state.restores, &|_| true) })),
        ("GET", ["restore-jobs", id]) => {
            state.step_restore(id)?;
            state.restores.get(*id).cloned().map_or_else(missing, Ok)
        }
        ("PUT", ["backup", "plans", plan, "selections"]) => Ok(state.select(plan, &body)),
        ("GET", ["backup", "plans", plan, "selections"]) => {
            let fits = |one: &Value| one["BackupPlanId"] == *plan;
            Ok(json!({ "BackupSelectionsList": shown(&state.selections, &fits) }))
        }
        ("DELETE", ["backup", "plans", _, "selections", id]) => {
            if state.selections.remove(*id).is_some() {
                Ok(json!({}))
            } else {
                missing()
            }
        }
        _ => return Ok(None),
    }))
}

impl State {
    fn moto(&self) -> Moto {
        Moto { address: self.moto.expect("it stands in front of one"), account: self.account.clone() }
    }

    /// What was begun with a token; something new otherwise.
    fn begun(&mut self, kind: &str, token: &Value) -> (String, bool) {
        self.count += 1;
        let new = format!("{kind}-{}", self.count);
        let token = format!("{kind} {}", token.as_str().unwrap_or(&new));
        let known = self.tokens.get(&token).cloned();
        let id = known.clone().unwrap_or(new);
        self.tokens.insert(token, id.clone());
        (id, known.is_none())
    }

    fn start_job(&mut self, body: &Value) -> Value {
        let (id, is_new) = self.begun("job", &body["IdempotencyToken"]);
        let arn = format!("arn:aws:backup:us-east-1:123456789012:recovery-point:{id}");
        if is_new {
            let job = json!({
                "BackupJobId": id, "BackupVaultName": body["BackupVaultName"], "ResourceArn": body["ResourceArn"],
                "ResourceType": "EFS", "RecoveryPointArn": arn, "State": "CREATED", "PercentDone": "0.0", "CreationDate": NOW,
                "go": self.jobs_go, "asked": body,
            });
            self.jobs.insert(id.clone(), job);
            let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
            let tags = &body["RecoveryPointTags"];
            self.points
                .insert(arn.clone(), point(&arn, &text("BackupVaultName"), &text("ResourceArn"), "CREATING", tags));
        }
        json!({ "BackupJobId": id, "RecoveryPointArn": arn, "CreationDate": NOW })
    }

    fn step_job(&mut self, id: &str) {
        let Some(job) = self.jobs.get_mut(id) else { return };
        let Some(next) = job["go"].as_array_mut().filter(|go| !go.is_empty()).map(|go| go.remove(0)) else { return };
        job["State"] = next.clone();
        job["StatusMessage"] = json!(format!("it is {}", next.as_str().unwrap_or_default()));
        let point = self.points.get_mut(job["RecoveryPointArn"].as_str().unwrap_or_default());
        if let Some(point) = point.filter(|_| ["COMPLETED", "PARTIAL"].contains(&next.as_str().unwrap_or_default())) {
            point["Status"] = next;
        }
    }

    fn start_restore(&mut self, body: &Value) -> Value {
        let (id, is_new) = self.begun("restore", &body["IdempotencyToken"]);
        if is_new {
            let job = json!({
                "RestoreJobId": id, "RecoveryPointArn": body["RecoveryPointArn"], "ResourceType": "EFS", "Status": "PENDING",
                "PercentDone": "0.00%", "CreationDate": NOW, "go": self.restores_go, "asked": body,
            });
            self.restores.insert(id.clone(), job);
        }
        json!({ "RestoreJobId": id })
    }

    fn step_restore(&mut self, id: &str) -> io::Result<()> {
        let moto = self.moto();
        let Some(job) = self.restores.get_mut(id) else { return Ok(()) };
        let Some(next) = job["go"].as_array_mut().filter(|go| !go.is_empty()).map(|go| go.remove(0)) else {
            return Ok(());
        };
        job["StatusMessage"] = json!(format!("it is {}", next.as_str().unwrap_or_default()));
        if next == "COMPLETED" {
            let told = job["asked"]["Metadata"].clone();
            let mut system = told["file-system-id"].as_str().unwrap_or_default().to_owned();
            if told["newFileSystem"] == "true" {
                let wanted = json!({ "CreationToken": told["CreationToken"], "Encrypted": true, "PerformanceMode": "generalPurpose" });
                let path = "/2015-02-01/file-systems";
                let answer = moto.ask("elasticfilesystem", "POST", path, "", &wanted.to_string())?;
                let made: Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap_or_default())?;
                made["FileSystemId"].as_str().unwrap_or_default().clone_into(&mut system);
            }
            job["CreatedResourceArn"] =
                json!(format!("arn:aws:elasticfilesystem:us-east-1:123456789012:file-system/{system}"));
        }
        job["Status"] = next;
        Ok(())
    }

    fn select(&mut self, plan: &str, body: &Value) -> Value {
        let (id, _) = self.begun("selection", &body["CreatorRequestId"]);
        let wanted = &body["BackupSelection"];
        let selection = json!({
            "SelectionId": id, "SelectionName": wanted["SelectionName"], "BackupPlanId": plan,
            "IamRoleArn": wanted["IamRoleArn"], "CreatorRequestId": body["CreatorRequestId"], "CreationDate": NOW,
        });
        self.selections.insert(id.clone(), selection);
        json!({ "SelectionId": id, "BackupPlanId": plan, "CreationDate": NOW })
    }
}

fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn say(client: &TcpStream, answer: Answer) -> io::Result<()> {
    let (status, code, body) = match answer {
        Ok(body) => (200, "", body),
        Err((status, code)) => (status, code, json!({ "Code": code, "Message": "as AWS says it" })),
    };
    let (kind, body) =
        (if code.is_empty() { String::new() } else { format!("x-amzn-errortype: {code}\r\n") }, body.to_string());
    let text = format!(
        "HTTP/1.1 {status} Said\r\n{kind}content-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    (&*client).write_all(text.as_bytes())
}

fn forward(moto: SocketAddr, head: &str, path: &str, body: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(moto)?;
    let mut lines = head.trim_end().lines();
    let method = lines.next().and_then(|line| line.split(' ').next()).unwrap_or_default();
    let rest: Vec<&str> = lines.collect();
    stream.write_all(format!("{method} {path} HTTP/1.1\r\n{}\r\n\r\n", rest.join("\r\n")).as_bytes())?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

/// Reads a request as the fault proxy sends it: with a length, on a connection of its own.
fn message(from: &TcpStream) -> io::Result<(String, Vec<u8>)> {
    let mut reader = BufReader::new(from);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        head.push_str(&line);
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok((head, body))
}

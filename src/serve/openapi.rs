//! The OpenAPI document: what the table of endpoints says, in the words of OpenAPI 3.1.

use std::sync::Arc;

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::endpoint::{Endpoint, Face, Needs, SchemaOf};
use super::problem::ProblemBody;

/// Where named schemas stand in the document.
const SCHEMAS: &str = "#/components/schemas/";

/// The document of these endpoints.
#[must_use]
pub fn document(endpoints: &[Arc<Endpoint>]) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let problem = generator.subschema_for::<ProblemBody>().to_value();
    let mut paths = Map::new();
    for endpoint in endpoints.iter().filter(|endpoint| endpoint.face == Face::Api) {
        let operation = operation(endpoint, &mut generator, &problem);
        let path = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        path[endpoint.method.as_str().to_lowercase()] = operation;
    }
    let schemas = generator.take_definitions(true);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Muster",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Drills and recoveries: runs, plans, playbooks, schedules. Errors are application/problem+json.",
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer", "bearerFormat": "mst_<id>_<secret>" } },
        },
    })
}

fn operation(endpoint: &Endpoint, generator: &mut SchemaGenerator, problem: &Value) -> Value {
    let mut params: Vec<Value> = endpoint
        .path_params()
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
        .collect();
    params.extend(query_params(endpoint.query, generator));
    params.extend(endpoint.headers.iter().map(|(name, what)| {
        json!({ "name": name, "in": "header", "required": false, "description": what, "schema": { "type": "string" } })
    }));
    let answer = match endpoint.answer {
        Some(schema) => json!({ "schema": schema(generator).to_value() }),
        // Of a stream each event would be held against it.
        None if endpoint.media == "text/event-stream" => json!({}),
        None => json!({ "schema": { "type": "string" } }),
    };
    let mut responses = Map::new();
    for status in endpoint.statuses {
        let what = if *status == 201 { "made" } else { "as asked" };
        responses
            .insert(status.to_string(), json!({ "description": what, "content": { endpoint.media: answer.clone() } }));
    }
    let wrong = json!({ "description": "why not", "content": { "application/problem+json": { "schema": problem } } });
    responses.insert("default".to_owned(), wrong);
    let mut operation = json!({
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "parameters": params,
        "responses": responses,
    });
    match endpoint.needs {
        Needs::Nobody => operation["security"] = json!([]),
        Needs::To(act) | Needs::Asked(act) => {
            let roles: Vec<String> = act.roles().iter().map(ToString::to_string).collect();
            operation["security"] = json!([{ "token": [] }]);
            operation["x-muster-act"] = json!(act.name());
            operation["x-muster-roles"] = json!(roles);
        }
    }
    if let Some(body) = endpoint.body {
        let schema = body(generator).to_value();
        operation["requestBody"] = json!({ "required": true, "content": { "application/json": { "schema": schema } } });
    }
    operation
}

/// The fields of a query's type as parameters.
fn query_params(query: Option<SchemaOf>, generator: &mut SchemaGenerator) -> Vec<Value> {
    let Some(query) = query else { return Vec::new() };
    let mut schema = query(generator).to_value();
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.strip_prefix(SCHEMAS)) {
        schema = generator.definitions().get(name).cloned().unwrap_or_default();
    }
    let required: Vec<String> = schema["required"]
        .as_array()
        .map(|names| names.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect())
        .unwrap_or_default();
    let fields = schema["properties"].as_object().cloned().unwrap_or_default();
    let param = |(name, mut field): (String, Value)| {
        let description = field.as_object_mut().and_then(|field| field.remove("description"));
        // What may be left out of a query is left out, and is never null.
        if let Some(kinds) = field["type"].as_array() {
            let first = kinds.iter().find(|kind| **kind != "null").cloned();
            field["type"] = first.unwrap_or_default();
        }
        let required = required.contains(&name);
        json!({ "name": name, "in": "query", "required": required, "description": description, "schema": field })
    };
    fields.into_iter().map(param).collect()
}

//! The playbooks that stand in the binary.

use muster::playbook::bundle::Bundle;
use muster::playbook::shipped;
use muster::script::Program;

#[test]
fn every_shipped_playbook_loads_compiles_and_is_clean() {
    let mut count = 0;
    for name in shipped::names() {
        let bundle = Bundle::load(name).unwrap_or_else(|error| panic!("{name}: {}", told(&error)));
        let found = muster::lint::lint(&bundle.playbook, &bundle.modules, &bundle.models, &bundle.sources);
        assert!(found.is_empty(), "{name}: {found:#?}");
        Program::compile(bundle.playbook.clone(), bundle.digest.clone(), &bundle.modules)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let again = Bundle::from_bytes(&bundle.to_bytes()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(again.digest, bundle.digest, "a bundle reads back as it was");
        count += 1;
    }
    assert!(count >= 4, "only {count} playbooks are shipped");
}

#[test]
fn every_playbook_of_the_folder_is_shipped_whole() {
    for folder in std::fs::read_dir("playbooks").expect("the folder of playbooks").flatten() {
        let name = folder.file_name().to_string_lossy().into_owned();
        if !folder.path().is_dir() {
            continue;
        }
        for file in ["playbook.yaml", "README.md", "world.yaml"] {
            let text =
                std::fs::read_to_string(folder.path().join(file)).unwrap_or_else(|e| panic!("{name}/{file}: {e}"));
            assert_eq!(shipped::file(&name, file), Some(text.as_str()), "{name}/{file}");
        }
    }
    let modules: Vec<String> = std::fs::read_dir("stdlib")
        .expect("the standard library")
        .flatten()
        .filter_map(|file| file.file_name().to_string_lossy().strip_suffix(".rhai").map(str::to_owned))
        .collect();
    for module in modules {
        assert!(muster::playbook::stdlib::module(&module).is_some(), "stdlib/{module} does not stand in the binary");
    }
}

fn told(error: &muster::playbook::bundle::BundleError) -> String {
    match error {
        muster::playbook::bundle::BundleError::Invalid { diagnostics, .. } => format!("{diagnostics:#?}"),
        other => other.to_string(),
    }
}

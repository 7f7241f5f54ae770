//! The folder `deploy/` as users apply it, carried in the binary so that the demo needs no source tree.

use lab::Folder;

use super::super::DemoError;

macro_rules! files {
    ($($path:literal),* $(,)?) => {
        [$(($path, include_str!(concat!("../../../../deploy/", $path)))),*]
    };
}

/// Every file that `kubectl apply -k` reads.
const FILES: [(&str, &str); 20] = files![
    "kustomization.yaml",
    "namespace.yaml",
    "controller.yaml",
    "speaker.yaml",
    "exclude-links.yaml",
    "rbac/controller.yaml",
    "rbac/speaker.yaml",
    "rbac/metrics-reader.yaml",
    "crds/kustomization.yaml",
    "crds/addressreservations.yaml",
    "crds/bfdprofiles.yaml",
    "crds/bgpadvertisements.yaml",
    "crds/bgppeers.yaml",
    "crds/communities.yaml",
    "crds/configurationstates.yaml",
    "crds/ipaddresspools.yaml",
    "crds/l2advertisements.yaml",
    "crds/poolpolicies.yaml",
    "crds/servicebgpstatuses.yaml",
    "crds/servicel2statuses.yaml",
];

/// Writes the folder.
pub(super) fn write() -> Result<Folder, DemoError> {
    let folder = Folder::make("deploy")?;
    for (path, text) in FILES {
        folder.write(path, text)?;
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    fn collect(folder: &Path, root: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, root, found);
            } else if path.extension().is_some_and(|extension| extension == "yaml") {
                found.insert(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
            }
        }
    }

    #[test]
    fn every_file_of_deploy_is_carried() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
        let mut found = BTreeSet::new();
        collect(&root, &root, &mut found);
        assert_eq!(FILES.iter().map(|(path, _)| (*path).to_owned()).collect::<BTreeSet<_>>(), found);
    }
}

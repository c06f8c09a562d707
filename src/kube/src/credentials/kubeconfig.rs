//! A kubeconfig: from its bytes to the cluster and the user of its current context.
//!
//! kube knows the fields and the YAML. It does not read the file: it takes UTF-16 for granted to have an even number of bytes.

use std::{fs, io, path::Path};

use kube::config::{AuthInfo, Cluster, Kubeconfig, KubeconfigError};

use super::ConnectError;

/// What the current context says.
pub(super) fn current(path: &Path) -> Result<(Cluster, AuthInfo), ConnectError> {
    read(path).map_err(|error| match error {
        KubeconfigError::Parse(error) => {
            let (line, column) = error.location().map_or((0, 0), |location| (location.line(), location.column()));
            ConnectError::Yaml { path: path.into(), line, column }
        }
        error => ConnectError::Kubeconfig { path: path.into(), error: Box::new(error) },
    })
}

fn read(path: &Path) -> Result<(Cluster, AuthInfo), KubeconfigError> {
    let failed = |error| KubeconfigError::ReadConfig(error, path.to_owned());
    let text = text(&fs::read(path).map_err(failed)?).map_err(failed)?;
    let file = Kubeconfig::from_yaml(&text)?;
    let name = file.current_context.filter(|name| !name.is_empty()).ok_or(KubeconfigError::CurrentContextNotSet)?;
    let context = file.contexts.into_iter().find(|named| named.name == name).and_then(|named| named.context);
    let context = context.ok_or_else(|| KubeconfigError::LoadContext(name.clone()))?;
    let cluster = file.clusters.into_iter().find(|named| named.name == context.cluster).and_then(|named| named.cluster);
    let mut cluster = cluster.ok_or_else(|| KubeconfigError::LoadClusterOfContext(context.cluster.clone()))?;
    // As with client-go, a user that is not there is nobody.
    let user = file.auth_infos.into_iter().find(|named| Some(&named.name) == context.user.as_ref());
    let mut user = user.and_then(|named| named.auth_info).unwrap_or_default();

    let folder = path.parent().unwrap_or(Path::new(""));
    for file in
        [&mut cluster.certificate_authority, &mut user.client_certificate, &mut user.client_key, &mut user.token_file]
    {
        *file = file.take().filter(|file| !file.is_empty()).map(|file| beside(folder, file));
    }
    if let Some(exec) = &mut user.exec {
        // A bare name is looked for in PATH.
        exec.command = exec.command.take().map(|name| if name.contains('/') { beside(folder, name) } else { name });
        if exec.provide_cluster_info {
            exec.cluster = Some((&cluster).try_into()?);
        }
    }
    Ok((cluster, user))
}

/// A path that is relative to the kubeconfig's folder.
fn beside(folder: &Path, file: String) -> String {
    folder.join(&file).into_os_string().into_string().unwrap_or(file)
}

/// YAML is UTF-8, or UTF-16 with a mark in front.
fn text(bytes: &[u8]) -> io::Result<String> {
    let wide = |bytes: &[u8], from: fn([u8; 2]) -> u16| {
        let (units, rest) = bytes.as_chunks::<2>();
        let text = String::from_utf16(&units.iter().map(|&unit| from(unit)).collect::<Vec<_>>()).ok();
        text.filter(|_| rest.is_empty())
    };
    let text = match bytes {
        [0xff, 0xfe, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => wide(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => str::from_utf8(rest).ok().map(str::to_owned),
        _ => str::from_utf8(bytes).ok().map(str::to_owned),
    };
    text.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it is neither UTF-8 nor UTF-16"))
}

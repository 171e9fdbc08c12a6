//! The job's directories on an engine that does not share storage with the daemon: copied there and back.

use std::path::Path;

use bollard::query_parameters::{DownloadFromContainerOptions, UploadToContainerOptions};
use futures_util::StreamExt;
use tar::Builder;
use tokio::sync::mpsc;

use super::archive::{PIECES, PieceReader, PieceWriter, ROOT, append_dir, append_tree, unpack};
use super::backend::Shared;
use super::connect::Client;
use super::error::{failed, refused};
use crate::backend::system::blocking;
use crate::ports::{BackendError, JobDirs, RunSpec, User};

const SENDING: &str = "copying the job's files to the engine";
const FETCHING: &str = "copying the output from the engine";

impl Shared {
    /// Copies the directories into the container, which has not started.
    ///
    /// What cannot be mounted read-only belongs to root instead: the input, and the job's directory itself.
    pub(super) async fn send_directories(&self, client: &Client, spec: &RunSpec) -> Result<(), BackendError> {
        let (sender, pieces) = mpsc::channel(PIECES);
        let (dirs, inside, user) = (spec.dirs.clone(), JobDirs::inside(&spec.run.job), spec.user);
        let pack = blocking(SENDING, move || {
            let mut tar = Builder::new(std::io::BufWriter::with_capacity(64 * 1024, PieceWriter(sender)));
            pack(&mut tar, &dirs, inside.trim_start_matches('/'), user)?;
            std::io::Write::flush(&mut tar.into_inner()?)
        });
        let container = self.handle(&spec.run);
        let stream = futures_util::stream::unfold(pieces, |mut pieces| async move {
            pieces.recv().await.map(|piece| (piece, pieces))
        });
        let options = UploadToContainerOptions { path: "/".to_owned(), ..UploadToContainerOptions::default() };
        let upload = client.docker.upload_to_container(&container, Some(options), bollard::body_try_stream(stream));
        let limit = self.settings.pull_timeout;
        let (packed, uploaded) = tokio::time::timeout(limit, async { tokio::join!(pack, upload) })
            .await
            .map_err(|_| refused(SENDING, format!("it took longer than {}s", limit.as_secs())))?;
        // If the engine breaks off, packing fails for that reason only.
        uploaded.map_err(|error| failed(SENDING, &error))?;
        packed
    }

    /// Copies the output from the container, which has ended or at least is there.
    pub(super) async fn fetch_output(&self, spec: &RunSpec) -> Result<(), BackendError> {
        let client = self.engine.client().await?;
        let (sender, pieces) = mpsc::channel(PIECES);
        let into = spec.dirs.output();
        let unpacking = blocking(FETCHING, move || {
            let mut reader = PieceReader::new(pieces);
            unpack(&mut reader, "out", &into)?;
            std::io::copy(&mut reader, &mut std::io::sink()) // the padding at the end
        });
        let path = format!("{}/out", JobDirs::inside(&spec.run.job));
        let container = self.handle(&spec.run);
        let download = async {
            let options = DownloadFromContainerOptions { path };
            let mut stream = Box::pin(client.docker.download_from_container(&container, Some(options)));
            while let Some(piece) = stream.next().await {
                let is_last = piece.is_err();
                let (piece, result) = match piece {
                    Ok(piece) => (Ok(piece), Ok(())),
                    Err(error) => (Err(std::io::Error::other(error.to_string())), Err(failed(FETCHING, &error))),
                };
                if sender.send(piece).await.is_err() || is_last {
                    return result;
                }
            }
            drop(sender);
            Ok(())
        };
        let limit = self.settings.pull_timeout;
        let (unpacked, downloaded) = tokio::time::timeout(limit, async { tokio::join!(unpacking, download) })
            .await
            .map_err(|_| refused(FETCHING, format!("it took longer than {}s", limit.as_secs())))?;
        downloaded?;
        unpacked.map(|_| ())
    }
}

fn pack<W: std::io::Write>(tar: &mut Builder<W>, dirs: &JobDirs, inside: &str, user: User) -> std::io::Result<()> {
    let parts: Vec<&str> = inside.split('/').collect();
    for end in 1..=parts.len() {
        append_dir(tar, &parts[..end].join("/"), 0o755, ROOT)?;
    }
    let inside = Path::new(inside);
    append_tree(tar, &dirs.input(), &inside.join("in"), ROOT)?;
    append_tree(tar, &dirs.source(), &inside.join("src"), user)?;
    append_tree(tar, &dirs.output(), &inside.join("out"), user)?;
    append_tree(tar, &dirs.home(), &inside.join("home"), user)
}

//! Blobs as files: `ROOT/<tenant>/<kind>/<digest>`.
//!
//! A blob is written to a file of its own in `ROOT/.incoming`, reaches the medium, and only then takes its name, so a
//! reader sees it whole or not at all, and a crash leaves at most a nameless file that the next start removes. Names
//! are made of a parsed tenant, a kind and a digest: nothing that a caller wrote becomes part of a path.
//!
//! Content is not hashed here. Whoever trusts it checks it: the compiler the digest of its source, the loader the MAC
//! of its code.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use foretell_types::blob::{BlobError, BlobId, BlobKind, Blobs};
use foretell_types::{Digest, TenantId};
use tempfile::NamedTempFile;

use crate::blocking::unblock;
use crate::{Housekeeping, StoreError};

/// Where blobs wait for their name. No tenant's name begins with a dot.
const INCOMING: &str = ".incoming";

/// Blobs as files under one folder.
#[derive(Debug, Clone)]
pub struct FileBlobs {
    root: Arc<Path>,
}

impl FileBlobs {
    /// Opens the folder, creating it where it is missing, and removes what a crash left unfinished. At most one
    /// process may have it open; that is for the caller to ensure.
    ///
    /// # Errors
    /// `Unavailable` if the folder cannot be made or written to.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let prepare = || -> io::Result<()> {
            private_folder(root)?;
            let incoming = root.join(INCOMING);
            match fs::remove_dir_all(&incoming) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            private_folder(&incoming)?;
            sync_folder(root)
        };
        prepare().map_err(|error| unavailable(root, &error))?;
        Ok(Self { root: root.into() })
    }

    fn folder(&self, tenant: &TenantId, kind: BlobKind) -> PathBuf {
        self.root.join(tenant.as_str()).join(kind.as_str())
    }

    fn path(&self, id: &BlobId) -> PathBuf {
        self.folder(&id.tenant, id.kind).join(id.digest.to_string())
    }

    fn write(&self, id: &BlobId, content: Content) -> io::Result<()> {
        match content {
            Content::Bytes(bytes) => {
                let mut file = self.incoming()?;
                file.write_all(&bytes)?;
                self.name(id, file)
            }
            // Only a file itself may be moved: moving a link would make the blob point to wherever it points.
            Content::File(source) if fs::symlink_metadata(&source)?.is_file() => {
                let file = File::open(&source)?;
                file.set_permissions(Permissions::from_mode(0o400))?;
                file.sync_all()?;
                self.prepare_folder(id)?;
                match fs::rename(&source, self.path(id)) {
                    Err(error) if error.kind() == ErrorKind::CrossesDevices => {
                        self.copy(id, &source)
                    }
                    moved => moved.and_then(|()| self.sync_folders(id)),
                }
            }
            Content::File(source) => self.copy(id, &source),
        }
    }

    fn copy(&self, id: &BlobId, source: &Path) -> io::Result<()> {
        let mut file = self.incoming()?;
        io::copy(&mut File::open(source)?, &mut file)?;
        self.name(id, file)
    }

    fn incoming(&self) -> io::Result<NamedTempFile> {
        NamedTempFile::new_in(self.root.join(INCOMING))
    }

    /// Gives a written file its name, for good.
    fn name(&self, id: &BlobId, file: NamedTempFile) -> io::Result<()> {
        file.as_file()
            .set_permissions(Permissions::from_mode(0o400))?;
        file.as_file().sync_all()?;
        self.prepare_folder(id)?;
        file.persist(self.path(id))?;
        self.sync_folders(id)
    }

    fn prepare_folder(&self, id: &BlobId) -> io::Result<()> {
        private_folder(&self.folder(&id.tenant, id.kind))
    }

    /// The entry of the blob, and those of the folders that may be new, also ones that another call has just made.
    fn sync_folders(&self, id: &BlobId) -> io::Result<()> {
        sync_folder(&self.folder(&id.tenant, id.kind))?;
        sync_folder(&self.root.join(id.tenant.as_str()))?;
        sync_folder(&self.root)
    }

    /// Runs `work` off the async threads and says whose fault it was.
    async fn with<T: Send + 'static>(
        &self,
        id: &BlobId,
        work: impl FnOnce(&Self, &BlobId) -> io::Result<T> + Send + 'static,
    ) -> Result<T, BlobError> {
        let (this, owned) = (self.clone(), id.clone());
        let done = unblock(move || work(&this, &owned))
            .await
            .map_err(io::Error::other);
        done.and_then(|done| done)
            .map_err(|source| fault(id, source))
    }
}

enum Content {
    Bytes(Vec<u8>),
    File(PathBuf),
}

#[async_trait]
impl Blobs for FileBlobs {
    async fn put(&self, id: &BlobId, bytes: Vec<u8>) -> Result<(), BlobError> {
        self.with(id, |this, id| this.write(id, Content::Bytes(bytes)))
            .await
    }

    async fn put_file(&self, id: &BlobId, file: &Path) -> Result<(), BlobError> {
        let content = Content::File(file.to_owned());
        self.with(id, |this, id| this.write(id, content)).await
    }

    async fn get(&self, id: &BlobId) -> Result<Option<Vec<u8>>, BlobError> {
        self.with(id, |this, id| if_there(fs::read(this.path(id))))
            .await
    }

    /// Not synced: a blob that a crash brings back is one that nothing refers to, and the next sweep takes it.
    async fn remove(&self, id: &BlobId) -> Result<(), BlobError> {
        self.with(id, |this, id| {
            if_there(fs::remove_file(this.path(id))).map(drop)
        })
        .await
    }

    async fn list(&self, tenant: &TenantId) -> Result<Vec<BlobId>, BlobError> {
        let mut found = Vec::new();
        for kind in BlobKind::ALL {
            // The name in messages, should the folder not be readable.
            let any = BlobId {
                tenant: tenant.clone(),
                kind,
                digest: Digest::from_bytes([0; 32]),
            };
            let names = self
                .with(&any, |this, any| names(&this.folder(&any.tenant, any.kind)))
                .await?;
            let digests = names.iter().filter_map(|name| Digest::parse(name));
            found.extend(digests.map(|digest| BlobId {
                digest,
                ..any.clone()
            }));
        }
        Ok(found)
    }
}

#[async_trait]
impl Housekeeping for FileBlobs {
    async fn tenants(&self) -> Result<Vec<TenantId>, StoreError> {
        let root = Arc::clone(&self.root);
        let read = unblock(move || names(&root)).await?;
        let names = read.map_err(|error| unavailable(&self.root, &error))?;
        let mut tenants: Vec<_> = names
            .iter()
            .filter_map(|name| TenantId::parse(name).ok())
            .collect();
        tenants.sort();
        Ok(tenants)
    }

    async fn remove_tenant(&self, tenant: &TenantId) -> Result<(), StoreError> {
        let folder = self.root.join(tenant.as_str());
        let gone = folder.clone();
        let removed = unblock(move || if_there(fs::remove_dir_all(gone))).await?;
        removed
            .map(drop)
            .map_err(|error| unavailable(&folder, &error))
    }
}

/// A fault of the medium in the words of the trait.
pub(crate) fn fault(id: &BlobId, source: io::Error) -> BlobError {
    let id = id.clone();
    match source.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => BlobError::Full { id },
        _ => BlobError::Io { id, source },
    }
}

fn unavailable(path: &Path, error: &io::Error) -> StoreError {
    StoreError::Unavailable(format!("the folder {}: {error}", path.display()))
}

/// The names in a folder; none if there is no such folder.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    let Some(entries) = if_there(fs::read_dir(folder))? else {
        return Ok(Vec::new());
    };
    // A name that is not UTF-8 is none of ours.
    let names = entries.map(|entry| entry.map(|entry| entry.file_name().into_string().ok()));
    names.filter_map(Result::transpose).collect()
}

fn if_there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes the entries of a folder reach the medium.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn opened() -> (tempfile::TempDir, FileBlobs) {
        let folder = tempfile::tempdir().unwrap();
        let blobs = FileBlobs::open(&folder.path().join("blobs")).unwrap();
        (folder, blobs)
    }

    fn id() -> BlobId {
        BlobId {
            tenant: TenantId::parse("acme").unwrap(),
            kind: BlobKind::Plugin,
            digest: Digest::from_bytes([0xAB; 32]),
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn a_blob_lies_where_its_name_says_and_only_its_owner_reads_it() {
        let (folder, blobs) = opened();
        let upload = folder.path().join("upload");
        fs::write(&upload, b"by file").unwrap();
        let place = folder
            .path()
            .join("blobs/acme/plugin")
            .join("ab".repeat(32));
        blobs.put(&id(), b"by bytes".to_vec()).await.unwrap();
        assert_eq!(
            (fs::read(&place).unwrap(), mode(&place)),
            (b"by bytes".to_vec(), 0o400)
        );
        blobs.put_file(&id(), &upload).await.unwrap();
        assert_eq!(
            (fs::read(&place).unwrap(), mode(&place)),
            (b"by file".to_vec(), 0o400)
        );
        assert!(!upload.exists(), "moved, not copied");
        for folder in [place.parent().unwrap(), place.ancestors().nth(2).unwrap()] {
            assert_eq!(mode(folder), 0o700, "{}", folder.display());
        }
    }

    #[tokio::test]
    async fn a_link_is_read_and_never_becomes_a_blob() {
        let (folder, blobs) = opened();
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        fs::write(&target, b"content").unwrap();
        symlink(&target, &link).unwrap();
        blobs.put_file(&id(), &link).await.unwrap();
        fs::write(&target, b"changed later").unwrap();
        assert_eq!(blobs.get(&id()).await.unwrap(), Some(b"content".to_vec()));
    }

    #[tokio::test]
    async fn a_file_of_another_file_system_is_copied() {
        let (_folder, blobs) = opened();
        // Memory that every Linux has mounted; where the test folder itself lies there, the file is moved instead.
        let elsewhere = tempfile::NamedTempFile::new_in("/dev/shm").unwrap();
        fs::write(elsewhere.path(), b"content").unwrap();
        blobs.put_file(&id(), elsewhere.path()).await.unwrap();
        assert_eq!(blobs.get(&id()).await.unwrap(), Some(b"content".to_vec()));
    }

    #[tokio::test]
    async fn opening_removes_what_a_crash_left_and_ignores_what_is_not_ours() {
        let (folder, blobs) = opened();
        blobs.put(&id(), b"kept".to_vec()).await.unwrap();
        let root = folder.path().join("blobs");
        fs::write(root.join(".incoming/half"), b"ha").unwrap();
        fs::write(root.join("acme/plugin/README"), b"not a digest").unwrap();
        fs::create_dir(root.join("Not A Tenant")).unwrap();
        drop(blobs);
        let blobs = FileBlobs::open(&root).unwrap();
        assert!(!root.join(".incoming/half").exists());
        assert_eq!(blobs.list(&id().tenant).await.unwrap(), [id()]);
        assert_eq!(blobs.tenants().await.unwrap(), [id().tenant]);
    }

    #[test]
    fn a_full_disk_has_a_word_of_its_own() {
        for kind in [ErrorKind::StorageFull, ErrorKind::QuotaExceeded] {
            assert!(matches!(fault(&id(), kind.into()), BlobError::Full { .. }));
        }
        let other = fault(&id(), ErrorKind::PermissionDenied.into());
        assert!(matches!(other, BlobError::Io { .. }));
    }
}

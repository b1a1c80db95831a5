//! A sign of life from SQLite.

use async_trait::async_trait;

use super::SqliteStore;
use super::fault::damaged;
use crate::{Probe, StoreError};

#[async_trait]
impl Probe for SqliteStore {
    async fn ping(&self) -> Result<(), StoreError> {
        let written: i64 = self
            .write(|tx| {
                let mut update = tx.prepare_cached(
                    "UPDATE probe SET count = count + 1 WHERE id = 1 RETURNING count",
                )?;
                Ok(update.query_row([], |row| row.get(0))?)
            })
            .await?;
        let read: i64 = self
            .read(|tx| {
                Ok(tx
                    .prepare_cached("SELECT count FROM probe WHERE id = 1")?
                    .query_row([], |row| row.get(0))?)
            })
            .await?;
        // Another ping may have come between.
        if read >= written {
            Ok(())
        } else {
            Err(damaged("a number that was written is not what is read"))
        }
    }
}

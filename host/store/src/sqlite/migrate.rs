//! The soundness and the schema of the file.

use refinery::error::Kind;
use rusqlite::Connection;

use super::fault::{damaged, fault};
use crate::StoreError;

/// "FTEL", written into the head of a file before anything else: this file is ours.
const APPLICATION_ID: i32 = 0x4654_454C;

mod embedded {
    refinery::embed_migrations!("migrations/sqlite");
}

/// Reads the whole file for damage, refuses one that is not ours, and claims an empty one.
pub(super) fn check(connection: &Connection) -> Result<(), StoreError> {
    let found: String = connection.pragma_query_value(None, "quick_check", |row| row.get(0))?;
    if found != "ok" {
        return Err(damaged(&found));
    }
    let id: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if id == APPLICATION_ID {
        return Ok(());
    }
    let objects: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if objects > 0 {
        return Err(StoreError::Unsupported(
            "this is another program's database; name another file in the database URL".to_owned(),
        ));
    }
    Ok(connection.pragma_update(None, "application_id", APPLICATION_ID)?)
}

/// Brings the schema to the newest version, in one transaction.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    // Grouped: one by one, refinery would commit a migration and its entry in the history separately.
    let runner = embedded::migrations::runner().set_grouped(true);
    let known = runner
        .get_migrations()
        .iter()
        .map(refinery::Migration::version)
        .max();
    let found = found_version(connection)?;
    if found > known {
        return Err(StoreError::Unsupported(format!(
            "the data has schema version {}, and this program knows versions up to {}; run the newer foretell that \
             wrote it, or restore a backup that was made before the upgrade",
            found.unwrap_or_default(),
            known.unwrap_or_default()
        )));
    }
    match runner.run(connection) {
        Ok(_) => Ok(()),
        Err(error) => Err(match error.kind() {
            Kind::Connection(_, source) => match source.downcast_ref() {
                Some(error) => fault(error),
                None => StoreError::Unavailable(source.to_string()),
            },
            _ => damaged(&format!(
                "the history of its schema is not this program's: {error}"
            )),
        }),
    }
}

/// The schema of the file; none = it has none yet.
fn found_version(connection: &Connection) -> Result<Option<i32>, StoreError> {
    if !connection.table_exists(None, "refinery_schema_history")? {
        return Ok(None);
    }
    Ok(connection.query_row(
        "SELECT max(version) FROM refinery_schema_history",
        [],
        |row| row.get(0),
    )?)
}

#[cfg(test)]
mod tests {
    use refinery::Target;

    use super::*;

    /// The version of the last migration that there is.
    fn newest() -> Option<i32> {
        let runner = embedded::migrations::runner();
        let migrations = runner.get_migrations().iter();
        migrations.map(refinery::Migration::version).max()
    }

    #[test]
    fn a_migration_and_its_entry_in_the_history_are_one_step() {
        let mut connection = Connection::open_in_memory().unwrap();
        // A history that takes no entry.
        connection
            .execute_batch(
                "CREATE TABLE refinery_schema_history (
                     version INTEGER PRIMARY KEY CHECK (version < 0), name TEXT, applied_on TEXT, checksum TEXT)",
            )
            .unwrap();
        assert!(migrate(&mut connection).is_err());
        assert!(!connection.table_exists(None, "tenants").unwrap());
    }

    #[test]
    fn a_first_start_that_was_cut_short_is_finished_by_the_next() {
        let mut connection = Connection::open_in_memory().unwrap();
        // As far as a kill may let it come: claimed, and refinery's own table made in a step of its own.
        check(&connection).unwrap();
        let missing = refinery::Runner::new(&[]).run(&mut connection);
        assert!(
            missing.is_ok()
                && connection
                    .table_exists(None, "refinery_schema_history")
                    .unwrap()
        );

        check(&connection).unwrap();
        migrate(&mut connection).unwrap();
        assert_eq!(found_version(&connection).unwrap(), newest());
    }

    #[test]
    fn migrating_twice_changes_nothing() {
        let mut connection = Connection::open_in_memory().unwrap();
        for _ in 0..2 {
            check(&connection).unwrap();
            migrate(&mut connection).unwrap();
            assert_eq!(found_version(&connection).unwrap(), newest());
        }
    }

    #[test]
    fn models_of_the_first_schema_are_in_service_after_all_others() {
        let mut connection = Connection::open_in_memory().unwrap();
        check(&connection).unwrap();
        let first = embedded::migrations::runner().set_target(Target::Version(1));
        first.run(&mut connection).unwrap();
        connection
            .execute_batch(
                "INSERT INTO tenant_names (name) VALUES ('t');
                 INSERT INTO tenants (id, created_at) VALUES ('t', 1);
                 INSERT INTO models (tenant, name) VALUES ('t', 'm');",
            )
            .unwrap();
        migrate(&mut connection).unwrap();
        let found: (bool, i64) = connection
            .query_row("SELECT unloaded, revision FROM models", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .unwrap();
        assert_eq!(found, (false, 0));
    }
}

//! Orders, and how far they are; leads that a sales department has made.

use rusqlite::{OptionalExtension, Transaction, params};

use super::Database;
use crate::answer::ApiError;

/// What an order may be.
pub(crate) const STATUSES: [&str; 5] = ["placed", "preparing", "ready", "delivered", "cancelled"];

pub(super) fn prepare(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch(
        "CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, status TEXT NOT NULL);
         CREATE TABLE IF NOT EXISTS leads (id TEXT PRIMARY KEY, data TEXT NOT NULL, paid INTEGER NOT NULL);
         INSERT OR IGNORE INTO orders SELECT value, 'placed' FROM
             (WITH RECURSIVE n (value) AS (VALUES (1) UNION ALL SELECT value + 1 FROM n WHERE value < 50) SELECT value FROM n);",
    )
}

impl Database {
    pub(crate) async fn order_status(&self, id: i64) -> Result<Option<String>, ApiError> {
        self.run(move |connection| {
            connection.query_row("SELECT status FROM orders WHERE id = ?1", [id], |row| row.get(0)).optional()
        })
        .await
    }

    pub(crate) async fn set_order_status(&self, id: i64, status: String) -> Result<Option<String>, ApiError> {
        self.run(move |connection| {
            let sql = "UPDATE orders SET status = ?2 WHERE id = ?1 RETURNING status";
            connection.query_row(sql, params![id, status], |row| row.get(0)).optional()
        })
        .await
    }

    /// Keeps a lead that is not paid for yet.
    pub(crate) async fn begin_lead(&self, id: String, data: String) -> Result<(), ApiError> {
        self.run(move |connection| connection.execute("INSERT INTO leads VALUES (?1, ?2, 0)", [id, data])).await?;
        Ok(())
    }

    /// It is paid for, or it was none.
    pub(crate) async fn end_lead(&self, id: String, paid: bool) -> Result<(), ApiError> {
        let sql = if paid { "UPDATE leads SET paid = 1 WHERE id = ?1" } else { "DELETE FROM leads WHERE id = ?1" };
        self.run(move |connection| connection.execute(sql, [id])).await?;
        Ok(())
    }
}

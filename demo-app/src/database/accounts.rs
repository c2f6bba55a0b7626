//! Tenants: who may log in, their sessions, settings and projects.

use rusqlite::{OptionalExtension, Transaction, params};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Database;
use crate::answer::ApiError;

/// Who there is.
pub(crate) const TENANTS: [&str; 2] = ["acme", "globex"];

pub(super) fn prepare(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch(
        "CREATE TABLE IF NOT EXISTS accounts (tenant TEXT, user TEXT, roles TEXT NOT NULL, PRIMARY KEY (tenant, user));
         CREATE TABLE IF NOT EXISTS open_sessions (
             tenant TEXT, user TEXT, session TEXT, account TEXT NOT NULL, PRIMARY KEY (tenant, user, session));
         CREATE TABLE IF NOT EXISTS configs (tenant TEXT, type TEXT, config TEXT NOT NULL, PRIMARY KEY (tenant, type));
         CREATE TABLE IF NOT EXISTS projects (
             tenant TEXT, id TEXT, name TEXT NOT NULL, status TEXT NOT NULL, member_count INTEGER NOT NULL, PRIMARY KEY (tenant, id));",
    )?;
    for tenant in TENANTS {
        for (user, roles) in [("user123", r#"["admin"]"#), ("user456", r#"["member"]"#)] {
            transaction.execute("INSERT OR IGNORE INTO accounts VALUES (?1, ?2, ?3)", [tenant, user, roles])?;
        }
        let settings =
            r#"{"theme":"dark","timezone":"America/New_York","features":["advanced_reporting","api_access"]}"#;
        transaction.execute("INSERT OR IGNORE INTO configs VALUES (?1, 'app_settings', ?2)", [tenant, settings])?;
        let project = "INSERT OR IGNORE INTO projects VALUES (?1, ?2, ?3, 'active', ?4)";
        transaction.execute(project, params![tenant, "proj123", format!("Website Redesign of {tenant}"), 5])?;
    }
    Ok(())
}

/// Who is logged in.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Account {
    pub(crate) user_id: String,
    pub(crate) tenant_id: String,
    pub(crate) roles: Vec<String>,
    pub(crate) since: String,
}

/// What a team works at.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Project {
    id: String,
    name: String,
    status: String,
    member_count: i64,
}

fn read<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, ApiError> {
    serde_json::from_str(text).map_err(|error| ApiError::Internal(format!("a row that is no JSON: {error}")))
}

impl Database {
    /// The roles of somebody who may log in.
    pub(crate) async fn roles(&self, tenant: String, user: String) -> Result<Option<Vec<String>>, ApiError> {
        let sql = "SELECT roles FROM accounts WHERE tenant = ?1 AND user = ?2";
        let roles: Option<String> =
            self.run(move |connection| connection.query_row(sql, [tenant, user], |row| row.get(0)).optional()).await?;
        roles.map(|roles| read(&roles)).transpose()
    }

    pub(crate) async fn open_session(&self, session: String, account: Account) -> Result<Account, ApiError> {
        let text = serde_json::to_string(&account).map_err(|error| ApiError::Internal(error.to_string()))?;
        let Account { user_id, tenant_id, .. } = account.clone();
        let sql = "INSERT INTO open_sessions VALUES (?1, ?2, ?3, ?4)";
        self.run(move |connection| connection.execute(sql, [tenant_id, user_id, session, text])).await?;
        Ok(account)
    }

    pub(crate) async fn session_of(&self, id: [String; 3]) -> Result<Option<Account>, ApiError> {
        let sql = "SELECT account FROM open_sessions WHERE tenant = ?1 AND user = ?2 AND session = ?3";
        let account: Option<String> =
            self.run(move |connection| connection.query_row(sql, id, |row| row.get(0)).optional()).await?;
        account.map(|account| read(&account)).transpose()
    }

    /// Ends a session, or with `None` all of a user's; gives how many.
    pub(crate) async fn close_sessions(
        &self,
        tenant: String,
        user: String,
        session: Option<String>,
    ) -> Result<usize, ApiError> {
        let sql = "DELETE FROM open_sessions WHERE tenant = ?1 AND user = ?2 AND session = coalesce(?3, session)";
        self.run(move |connection| connection.execute(sql, params![tenant, user, session])).await
    }

    pub(crate) async fn config(&self, tenant: String, kind: String) -> Result<Option<Value>, ApiError> {
        let sql = "SELECT config FROM configs WHERE tenant = ?1 AND type = ?2";
        let config: Option<String> =
            self.run(move |connection| connection.query_row(sql, [tenant, kind], |row| row.get(0)).optional()).await?;
        config.map(|config| read(&config)).transpose()
    }

    pub(crate) async fn set_config(&self, tenant: String, kind: String, config: Value) -> Result<Value, ApiError> {
        let text = config.to_string();
        let sql = "INSERT INTO configs VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET config = excluded.config";
        self.run(move |connection| connection.execute(sql, [tenant, kind, text])).await?;
        Ok(config)
    }

    pub(crate) async fn project(&self, tenant: String, id: String) -> Result<Option<Project>, ApiError> {
        let sql = "SELECT id, name, status, member_count FROM projects WHERE tenant = ?1 AND id = ?2";
        self.run(move |connection| {
            let project = |row: &rusqlite::Row<'_>| {
                Ok(Project { id: row.get(0)?, name: row.get(1)?, status: row.get(2)?, member_count: row.get(3)? })
            };
            connection.query_row(sql, [tenant, id], project).optional()
        })
        .await
    }
}

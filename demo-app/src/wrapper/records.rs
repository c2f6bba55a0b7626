//! The records, and every change of them: with a new version, and with its message in the same transaction.

use cache_middleware::ChangeMessage;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{COSTS, ROLES, STATUSES, USERS};
use crate::answer::ApiError;
use crate::database::Database;

/// What an operation costs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreditConfig {
    pub(crate) operation_code: String,
    pub(crate) cost: f64,
    pub(crate) version: u64,
}

/// What a role may do.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Role {
    pub(crate) role_id: String,
    pub(crate) permissions: Vec<String>,
    pub(crate) version: u64,
}

/// Whether somebody may do anything, and in which roles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Standing {
    pub(crate) status: String,
    pub(crate) roles: Vec<String>,
}

/// Somebody's standing.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StandingOf {
    pub(crate) user_id: String,
    pub(crate) standing: Standing,
    pub(crate) version: u64,
}

/// Somebody.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct User {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) department: String,
    #[serde(flatten)]
    pub(crate) standing: Standing,
    pub(crate) version: u64,
}

impl From<User> for StandingOf {
    fn from(user: User) -> Self {
        Self { user_id: user.id, standing: user.standing, version: user.version }
    }
}

/// What is to be changed of somebody.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserChange {
    pub(super) name: Option<String>,
    pub(super) title: Option<String>,
    pub(super) department: Option<String>,
    pub(super) status: Option<String>,
    pub(super) roles: Option<Vec<String>>,
}

/// What became of a deduction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Deducted {
    Left(f64),
    TooFew(f64),
    Nobody,
    /// The key was another deduction's.
    Other,
}

#[derive(Debug, Clone)]
pub(super) struct Records {
    database: Database,
}

fn next_version(transaction: &Transaction<'_>) -> rusqlite::Result<u64> {
    let version: i64 =
        transaction.query_row("UPDATE versions SET last = last + 1 RETURNING last", [], |row| row.get(0))?;
    Ok(u64::try_from(version).unwrap_or(0))
}

fn publish_later(transaction: &Transaction<'_>, data_type: &str, message: &ChangeMessage) -> rusqlite::Result<()> {
    let text = json!(message).to_string();
    transaction.execute("INSERT INTO outbox (data_type, message) VALUES (?1, ?2)", [data_type, &text])?;
    Ok(())
}

fn version(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0))
}

fn strings(row: &Row<'_>, column: usize) -> rusqlite::Result<Vec<String>> {
    Ok(serde_json::from_str(&row.get::<_, String>(column)?).unwrap_or_default())
}

fn config(row: &Row<'_>) -> rusqlite::Result<CreditConfig> {
    Ok(CreditConfig { operation_code: row.get(0)?, cost: row.get(1)?, version: version(row, 2)? })
}

fn role(row: &Row<'_>) -> rusqlite::Result<Role> {
    Ok(Role { role_id: row.get(0)?, permissions: strings(row, 1)?, version: version(row, 2)? })
}

fn user(row: &Row<'_>) -> rusqlite::Result<User> {
    Ok(User {
        id: row.get(0)?,
        name: row.get(1)?,
        title: row.get(2)?,
        department: row.get(3)?,
        standing: Standing { status: row.get(4)?, roles: strings(row, 5)? },
        version: version(row, 6)?,
    })
}

const CONFIG: &str = "SELECT code, cost, version FROM credit_configs";
const ROLE: &str = "SELECT id, permissions, version FROM roles";
const USER: &str = "SELECT id, name, title, department, status, roles, version FROM users";

fn find_user(connection: &Connection, id: &str) -> rusqlite::Result<Option<User>> {
    connection.query_row(&format!("{USER} WHERE id = ?1"), [id], user).optional()
}

impl Records {
    pub(super) fn new(database: Database) -> Self {
        Self { database }
    }

    async fn list<T: Send + 'static>(
        &self,
        sql: &'static str,
        read: fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, ApiError> {
        self.database.run(move |connection| connection.prepare_cached(sql)?.query_map([], read)?.collect()).await
    }

    pub(super) async fn configs(&self) -> Result<Vec<CreditConfig>, ApiError> {
        self.list(CONFIG, config).await
    }

    pub(super) async fn config(&self, code: String) -> Result<Option<CreditConfig>, ApiError> {
        let sql = format!("{CONFIG} WHERE code = ?1");
        self.database.run(move |connection| connection.query_row(&sql, [code], config).optional()).await
    }

    /// Sets a cost, of a new operation as well.
    pub(super) async fn set_cost(&self, code: String, cost: f64) -> Result<CreditConfig, ApiError> {
        self.database
            .run(move |connection| {
                let transaction = connection.unchecked_transaction()?;
                let version = next_version(&transaction)?;
                let before: Option<f64> = transaction
                    .query_row("SELECT cost FROM credit_configs WHERE code = ?1", [&code], |row| row.get(0))
                    .optional()?;
                transaction.execute(
                    "INSERT OR REPLACE INTO credit_configs VALUES (?1, ?2, ?3)",
                    params![code, cost, i64::try_from(version).unwrap_or(0)],
                )?;
                let message = ChangeMessage::new("credit-config-changed").field("operationCode", code.as_str());
                let message = message.changed(&["credit_cost"]).from_to(json!(before), cost).version(version);
                publish_later(&transaction, COSTS, &message)?;
                transaction.commit()?;
                Ok(CreditConfig { operation_code: code, cost, version })
            })
            .await
    }

    /// Takes an operation away; `false` if there is none.
    pub(super) async fn remove_config(&self, code: String) -> Result<bool, ApiError> {
        self.database
            .run(move |connection| {
                let transaction = connection.unchecked_transaction()?;
                let version = next_version(&transaction)?;
                let sql = "DELETE FROM credit_configs WHERE code = ?1 RETURNING cost";
                let before: Option<f64> = transaction.query_row(sql, [&code], |row| row.get(0)).optional()?;
                if before.is_some() {
                    let message = ChangeMessage::new("credit-config-removed").field("operationCode", code);
                    let message = message.changed(&["credit_cost"]).from_to(json!(before), Value::Null);
                    publish_later(&transaction, COSTS, &message.version(version))?;
                }
                transaction.commit()?;
                Ok(before.is_some())
            })
            .await
    }

    pub(super) async fn roles(&self) -> Result<Vec<Role>, ApiError> {
        self.list(ROLE, role).await
    }

    pub(super) async fn role(&self, id: String) -> Result<Option<Role>, ApiError> {
        let sql = format!("{ROLE} WHERE id = ?1");
        self.database.run(move |connection| connection.query_row(&sql, [id], role).optional()).await
    }

    /// Sets what a role may do, of a new one as well.
    pub(super) async fn set_role(&self, id: String, permissions: Vec<String>) -> Result<Role, ApiError> {
        self.database
            .run(move |connection| {
                let transaction = connection.unchecked_transaction()?;
                let version = next_version(&transaction)?;
                transaction.execute(
                    "INSERT OR REPLACE INTO roles VALUES (?1, ?2, ?3)",
                    params![id, json!(permissions).to_string(), i64::try_from(version).unwrap_or(0)],
                )?;
                let message = ChangeMessage::new("role-changed").field("roleId", id.as_str()).changed(&["permissions"]);
                let message = message.from_to(Value::Null, json!(permissions)).version(version);
                publish_later(&transaction, ROLES, &message)?;
                transaction.commit()?;
                Ok(Role { role_id: id, permissions, version })
            })
            .await
    }

    pub(super) async fn users(&self) -> Result<Vec<User>, ApiError> {
        self.list(USER, user).await
    }

    pub(super) async fn some_users(&self, ids: Vec<String>) -> Result<Vec<User>, ApiError> {
        self.database
            .run(move |connection| {
                let found: rusqlite::Result<Vec<_>> = ids.iter().map(|id| find_user(connection, id)).collect();
                Ok(found?.into_iter().flatten().collect())
            })
            .await
    }

    pub(super) async fn user(&self, id: String) -> Result<Option<User>, ApiError> {
        self.database.run(move |connection| find_user(connection, &id)).await
    }

    /// Changes somebody: their profile is reference data, and their standing is critical.
    pub(super) async fn change_user(&self, id: String, change: UserChange) -> Result<Option<User>, ApiError> {
        self.database
            .run(move |connection| {
                let transaction = connection.unchecked_transaction()?;
                let Some(before) = find_user(&transaction, &id)? else { return Ok(None) };
                let version = next_version(&transaction)?;
                let UserChange { name, title, department, status, roles } = change;
                let after = User {
                    id: id.clone(),
                    name: name.unwrap_or_else(|| before.name.clone()),
                    title: title.unwrap_or_else(|| before.title.clone()),
                    department: department.unwrap_or_else(|| before.department.clone()),
                    standing: Standing {
                        status: status.unwrap_or_else(|| before.standing.status.clone()),
                        roles: roles.unwrap_or_else(|| before.standing.roles.clone()),
                    },
                    version,
                };
                transaction.execute(
                    "UPDATE users SET name = ?2, title = ?3, department = ?4, status = ?5, roles = ?6, version = ?7 WHERE id = ?1",
                    params![
                        id,
                        after.name,
                        after.title,
                        after.department,
                        after.standing.status,
                        json!(after.standing.roles).to_string(),
                        i64::try_from(version).unwrap_or(0)
                    ],
                )?;
                let changed: Vec<&str> = [
                    ("name", before.name != after.name),
                    ("title", before.title != after.title),
                    ("department", before.department != after.department),
                    ("status", before.standing.status != after.standing.status),
                    ("roles", before.standing.roles != after.standing.roles),
                ]
                .into_iter()
                .filter_map(|(field, changed)| changed.then_some(field))
                .collect();
                let of_user = |event: &str| ChangeMessage::new(event).field("userId", id.as_str()).changed(&changed);
                publish_later(&transaction, USERS, &of_user("user-profile-changed"))?;
                if before.standing != after.standing {
                    let message = of_user("user-status-changed").from_to(json!(before.standing), json!(after.standing));
                    publish_later(&transaction, STATUSES, &message.version(version))?;
                }
                transaction.commit()?;
                Ok(Some(after))
            })
            .await
    }

    pub(super) async fn credits(&self, id: String) -> Result<Option<f64>, ApiError> {
        let sql = "SELECT credits FROM users WHERE id = ?1";
        self.database.run(move |connection| connection.query_row(sql, [id], |row| row.get(0)).optional()).await
    }

    /// Deducts credits, once for each key.
    pub(super) async fn deduct(&self, id: String, amount: f64, key: Option<String>) -> Result<Deducted, ApiError> {
        self.database
            .run(move |connection| {
                let transaction = connection.unchecked_transaction()?;
                let done = "SELECT left, user = ?2 AND amount = ?3 FROM deductions WHERE key = ?1";
                let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
                match transaction.query_row(done, params![key, id, amount], read).optional()? {
                    Some((left, true)) => return Ok(Deducted::Left(left)),
                    Some((_, false)) => return Ok(Deducted::Other),
                    None => {}
                }
                let has = "SELECT credits FROM users WHERE id = ?1";
                let Some(has) = transaction.query_row(has, [&id], |row| row.get::<_, f64>(0)).optional()? else {
                    return Ok(Deducted::Nobody);
                };
                if has < amount {
                    return Ok(Deducted::TooFew(has));
                }
                let left = has - amount;
                transaction.execute("UPDATE users SET credits = ?2 WHERE id = ?1", params![id, left])?;
                if let Some(key) = key {
                    transaction
                        .execute("INSERT INTO deductions VALUES (?1, ?2, ?3, ?4)", params![key, id, amount, left])?;
                }
                transaction.commit()?;
                Ok(Deducted::Left(left))
            })
            .await
    }

    /// Messages that are not published yet, the oldest first.
    pub(super) async fn unpublished(&self) -> Result<Vec<(i64, String, String)>, ApiError> {
        self.database
            .run(|connection| {
                let mut rows = connection.prepare_cached(
                    "SELECT id, data_type, message FROM outbox WHERE set_aside = 0 ORDER BY id LIMIT 100",
                )?;
                rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect()
            })
            .await
    }

    /// One that can never be published stays, and holds up no other.
    pub(super) async fn set_aside(&self, row: i64) -> Result<(), ApiError> {
        let sql = "UPDATE outbox SET set_aside = 1 WHERE id = ?1";
        self.database.run(move |connection| connection.execute(sql, [row])).await?;
        Ok(())
    }

    pub(super) async fn published(&self, row: i64) -> Result<(), ApiError> {
        self.database.run(move |connection| connection.execute("DELETE FROM outbox WHERE id = ?1", [row])).await?;
        Ok(())
    }
}

//! Its tables, and what is in them at the first start: 5 operations, 3 roles, 21 users.

use chrono::Utc;
use rusqlite::{Connection, TransactionBehavior, params};

const OPERATIONS: [(&str, f64); 5] = [
    ("crm.leads.create", 2.5),
    ("crm.leads.export", 10.0),
    ("crm.contacts.import", 5.0),
    ("crm.reports.run", 1.0),
    ("crm.mails.send", 0.5),
];

const ROLES: [(&str, &str); 3] = [
    ("admin", r#"["crm.leads.create","crm.leads.export","crm.contacts.import","crm.reports.run","crm.mails.send"]"#),
    ("sales", r#"["crm.leads.create","crm.mails.send"]"#),
    ("viewer", r#"["crm.reports.run"]"#),
];

pub(super) fn prepare(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(
        "CREATE TABLE IF NOT EXISTS versions (last INTEGER NOT NULL);
         CREATE TABLE IF NOT EXISTS credit_configs (
             code TEXT PRIMARY KEY, cost REAL NOT NULL, version INTEGER NOT NULL);
         CREATE TABLE IF NOT EXISTS roles (id TEXT PRIMARY KEY, permissions TEXT NOT NULL, version INTEGER NOT NULL);
         CREATE TABLE IF NOT EXISTS users (
             id TEXT PRIMARY KEY, name TEXT NOT NULL, title TEXT NOT NULL, department TEXT NOT NULL, status TEXT NOT NULL,
             roles TEXT NOT NULL, credits REAL NOT NULL, version INTEGER NOT NULL);
         CREATE TABLE IF NOT EXISTS deductions (
             key TEXT PRIMARY KEY, user TEXT NOT NULL, amount REAL NOT NULL, left REAL NOT NULL);
         CREATE TABLE IF NOT EXISTS outbox (
             id INTEGER PRIMARY KEY AUTOINCREMENT, data_type TEXT NOT NULL, message TEXT NOT NULL,
             set_aside INTEGER NOT NULL DEFAULT 0);",
    )?;
    let empty: bool = transaction.query_row("SELECT NOT EXISTS (SELECT 1 FROM versions)", [], |row| row.get(0))?;
    if empty {
        // Larger than whatever an earlier database has told, so that those who heard that know the new one for newer.
        let version = Utc::now().timestamp_millis();
        transaction.execute("INSERT INTO versions VALUES (?1)", [version])?;
        for (code, cost) in OPERATIONS {
            transaction.execute("INSERT INTO credit_configs VALUES (?1, ?2, ?3)", params![code, cost, version])?;
        }
        for (id, permissions) in ROLES {
            transaction.execute("INSERT INTO roles VALUES (?1, ?2, ?3)", params![id, permissions, version])?;
        }
        for number in 1..=20 {
            let roles = [r#"["admin","sales"]"#, r#"["sales"]"#, r#"["viewer"]"#][number % 3];
            let department = ["Sales", "Support", "Finance"][number % 3];
            let (id, name) = (format!("user-{number}"), format!("User {number}"));
            let row = params![id, name, department, roles, 10 * number, version];
            transaction.execute("INSERT INTO users VALUES (?1, ?2, 'Agent', ?3, 'active', ?4, ?5, ?6)", row)?;
        }
        let john = r#"INSERT INTO users VALUES ('user-456', 'John', 'Manager', 'Sales', 'active', '["admin","sales"]', 1000, ?1)"#;
        transaction.execute(john, [version])?;
    }
    transaction.commit()
}

//! A pantry: organisations, their menus, and how often each item was looked at.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde::Serialize;

use super::Database;
use crate::answer::ApiError;

/// The queue that counts views, as the table of positions names it.
pub(crate) const VIEWS: &str = "views";

pub(super) fn prepare(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch(
        "CREATE TABLE IF NOT EXISTS categories (
             id INTEGER PRIMARY KEY, organization_id INTEGER NOT NULL, name TEXT NOT NULL);
         CREATE TABLE IF NOT EXISTS items (
             id INTEGER PRIMARY KEY, category_id INTEGER NOT NULL REFERENCES categories, name TEXT NOT NULL,
             price_cents INTEGER NOT NULL, views INTEGER NOT NULL DEFAULT 0);
         CREATE TABLE IF NOT EXISTS positions (queue TEXT PRIMARY KEY, upto INTEGER NOT NULL);
         INSERT OR IGNORE INTO positions VALUES ('views', 0);",
    )?;
    let empty: bool = transaction.query_row("SELECT NOT EXISTS (SELECT 1 FROM categories)", [], |row| row.get(0))?;
    if !empty {
        return Ok(());
    }
    for organization in 1..=3_i64 {
        for (index, category) in (1..).zip(["Bread", "Fruit", "Drinks"]) {
            let id = (organization - 1) * 3 + index;
            transaction.execute("INSERT INTO categories VALUES (?1, ?2, ?3)", params![id, organization, category])?;
            for number in 1..=4_i64 {
                let (item, price) = ((id - 1) * 4 + number, 100 + 25 * number);
                transaction.execute(
                    "INSERT INTO items (id, category_id, name, price_cents) VALUES (?1, ?2, ?3, ?4)",
                    params![item, id, format!("{category} {number}"), price],
                )?;
            }
        }
    }
    Ok(())
}

/// Something to eat.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Item {
    id: i64,
    category_id: i64,
    pub(crate) organization_id: i64,
    name: String,
    price_cents: i64,
    views: i64,
}

impl Item {
    /// How often it was looked at, as far as the database knows.
    pub(crate) fn views(&self) -> i64 {
        self.views
    }
}

/// A part of a menu.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Category {
    id: i64,
    pub(crate) organization_id: i64,
    name: String,
}

/// What an organisation has to offer.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Menu {
    categories: Vec<MenuPart>,
}

#[derive(Debug, Clone, Serialize)]
struct MenuPart {
    #[serde(flatten)]
    category: Category,
    items: Vec<Item>,
}

const ITEMS: &str = "SELECT i.id, i.category_id, c.organization_id, i.name, i.price_cents, i.views
                     FROM items i JOIN categories c ON c.id = i.category_id";

fn item(row: &Row<'_>) -> rusqlite::Result<Item> {
    Ok(Item {
        id: row.get(0)?,
        category_id: row.get(1)?,
        organization_id: row.get(2)?,
        name: row.get(3)?,
        price_cents: row.get(4)?,
        views: row.get(5)?,
    })
}

fn find(connection: &Connection, id: i64) -> rusqlite::Result<Option<Item>> {
    connection.query_row(&format!("{ITEMS} WHERE i.id = ?1"), [id], item).optional()
}

impl Database {
    /// The menu of an organisation, if there is one.
    pub(crate) async fn menu(&self, organization: i64) -> Result<Option<Menu>, ApiError> {
        self.run(move |connection| {
            let categories: Vec<Category> = connection
                .prepare_cached(
                    "SELECT id, organization_id, name FROM categories WHERE organization_id = ?1 ORDER BY id",
                )?
                .query_map([organization], category)?
                .collect::<Result<_, _>>()?;
            let mut items = connection.prepare_cached(&format!("{ITEMS} WHERE i.category_id = ?1 ORDER BY i.id"))?;
            let with_items = |category: Category| {
                let items = items.query_map([category.id], item)?.collect::<Result<_, _>>()?;
                Ok(MenuPart { category, items })
            };
            let categories: Vec<MenuPart> = categories.into_iter().map(with_items).collect::<rusqlite::Result<_>>()?;
            Ok((!categories.is_empty()).then_some(Menu { categories }))
        })
        .await
    }

    pub(crate) async fn item(&self, id: i64) -> Result<Option<Item>, ApiError> {
        self.run(move |connection| find(connection, id)).await
    }

    /// Changes what is given of an item.
    pub(crate) async fn update_item(
        &self,
        id: i64,
        name: Option<String>,
        price_cents: Option<i64>,
    ) -> Result<Option<Item>, ApiError> {
        self.run(move |connection| {
            connection.execute(
                "UPDATE items SET name = coalesce(?2, name), price_cents = coalesce(?3, price_cents) WHERE id = ?1",
                params![id, name, price_cents],
            )?;
            find(connection, id)
        })
        .await
    }

    pub(crate) async fn rename_category(&self, id: i64, name: String) -> Result<Option<Category>, ApiError> {
        self.run(move |connection| {
            let sql = "UPDATE categories SET name = ?2 WHERE id = ?1 RETURNING id, organization_id, name";
            connection.query_row(sql, params![id, name], category).optional()
        })
        .await
    }

    /// Adds views that were counted up to a position of their queue, if they are counted up to another; `false`: they are not.
    pub(crate) async fn add_views(&self, views: Vec<(i64, i64)>, after: u64, upto: u64) -> Result<bool, ApiError> {
        self.run(move |connection| {
            let transaction = connection.unchecked_transaction()?;
            let moved = transaction.execute(
                "UPDATE positions SET upto = ?3 WHERE queue = ?1 AND upto = ?2",
                params![VIEWS, number(after), number(upto)],
            )?;
            if moved == 0 {
                return Ok(false);
            }
            for (item, count) in views {
                transaction.execute("UPDATE items SET views = views + ?2 WHERE id = ?1", [item, count])?;
            }
            transaction.commit()?;
            Ok(true)
        })
        .await
    }

    /// Up to where views are counted.
    pub(crate) async fn counted_views(&self) -> Result<u64, ApiError> {
        let position: i64 = self
            .run(|connection| {
                connection.query_row("SELECT upto FROM positions WHERE queue = ?1", [VIEWS], |row| row.get(0))
            })
            .await?;
        Ok(u64::try_from(position).unwrap_or(0))
    }
}

fn category(row: &Row<'_>) -> rusqlite::Result<Category> {
    Ok(Category { id: row.get(0)?, organization_id: row.get(1)?, name: row.get(2)? })
}

/// Positions have 52 bits.
fn number(position: u64) -> i64 {
    i64::try_from(position).unwrap_or(i64::MAX)
}

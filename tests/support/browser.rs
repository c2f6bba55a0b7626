//! A real browser: Chromium, driven over WebDriver.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fantoccini::{Client, ClientBuilder};
use serde_json::json;

use crate::{TemporaryFolder, free_port, temporary_folder};

/// A browser window, and the driver that it ends with.
#[derive(Debug)]
pub struct Browser {
    _driver: Driver,
    /// What speaks to the window.
    pub client: Client,
    _profile: TemporaryFolder,
}

/// Ends when it is dropped, and its windows with it.
#[derive(Debug)]
struct Driver(Child);

impl Drop for Driver {
    fn drop(&mut self) {
        // Asked to end, it ends its windows.
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

impl Browser {
    /// Opens a window of a size, in dark or light.
    ///
    /// # Panics
    /// If there is no `chromedriver`, or it opens no window.
    pub async fn open((width, height): (u32, u32), dark: bool) -> Self {
        let port = free_port();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map(Driver)
            .expect("chromedriver: `./tests/run` installs it");
        let profile = temporary_folder("browser");
        let mut arguments = vec![
            "--headless=new".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-quic".to_owned(),
            "--no-first-run".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-sync".to_owned(),
            format!("--user-data-dir={}", profile.display()),
            format!("--window-size={width},{height}"),
        ];
        if dark {
            arguments.push("--blink-settings=preferredColorScheme=0".to_owned());
        }
        let options = json!({"goog:chromeOptions": {"args": arguments}, "goog:loggingPrefs": {"browser": "ALL"}});
        let options = options.as_object().cloned().unwrap_or_default();
        let mut builder = ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new());
        builder.capabilities(options);
        let address = format!("http://127.0.0.1:{port}");
        for _ in 0..100 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            if let Ok(client) = builder.connect(&address).await {
                return Self { _driver: driver, client, _profile: profile };
            }
        }
        panic!("chromedriver opens no window");
    }
}

//! nginx with TLS and `auth_basic`: it judges the Authorization header itself and writes down whom it let in.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};

use super::{authority, free_port};
use crate::harness::{Folder, eventually, http, variable};

pub(crate) struct Nginx {
    child: Child,
    folder: Folder,
    port: u16,
}

/// One line of its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) user: String,
    pub(crate) status: u16,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) event: String,
}

impl Nginx {
    /// Starts one that lets this user in.
    pub(crate) async fn start(user: &str, password: &str) -> Self {
        let folder = Folder::new("nginx");
        let identity = authority().identity();
        folder.write("certificate.pem", identity.certificate.pem());
        folder.write("key.pem", identity.key.serialize_pem());
        folder.write("htpasswd", format!("{user}:{{PLAIN}}{password}\n"));
        let port = free_port();
        let here = folder.path().display();
        // The judged request goes on to a server inside: `return` in the same place would answer before any judging.
        let conf = format!(
            "daemon off; master_process off; pid {here}/pid; error_log {here}/error.log info;
             events {{ worker_connections 256; }}
             http {{
               log_format line '$remote_user\t$status\t$request_method\t$request_uri\t$http_webhook_id';
               access_log off;
               client_body_temp_path {here}/body; proxy_temp_path {here}/proxy; fastcgi_temp_path {here}/fastcgi;
               uwsgi_temp_path {here}/uwsgi; scgi_temp_path {here}/scgi;
               server {{
                 listen 127.0.0.1:{port} ssl;
                 ssl_certificate {here}/certificate.pem; ssl_certificate_key {here}/key.pem;
                 access_log {here}/access.log line;
                 location / {{
                   auth_basic tool; auth_basic_user_file {here}/htpasswd;
                   proxy_pass http://unix:{here}/inside:;
                 }}
               }}
               server {{
                 listen unix:{here}/inside;
                 location / {{ default_type application/json; return 201 '{{\"result\":{{\"number\":\"INC0010001\"}}}}'; }}
               }}
             }}"
        );
        Self::run(folder, port, conf).await
    }

    /// Starts one that ends TLS in front of a server, with these lines in its location.
    pub(crate) async fn in_front_of(server: SocketAddr, lines: &str) -> Self {
        let folder = Folder::new("proxy");
        let identity = authority().identity();
        folder.write("certificate.pem", identity.certificate.pem());
        folder.write("key.pem", identity.key.serialize_pem());
        let port = free_port();
        let here = folder.path().display();
        let conf = format!(
            "daemon off; master_process off; pid {here}/pid; error_log {here}/error.log info;
             events {{ worker_connections 256; }}
             http {{
               access_log off;
               client_body_temp_path {here}/body; proxy_temp_path {here}/proxy; fastcgi_temp_path {here}/fastcgi;
               uwsgi_temp_path {here}/uwsgi; scgi_temp_path {here}/scgi;
               server {{
                 listen 127.0.0.1:{port} ssl;
                 ssl_certificate {here}/certificate.pem; ssl_certificate_key {here}/key.pem;
                 location / {{ {lines} proxy_pass http://{server}; }}
               }}
             }}"
        );
        Self::run(folder, port, conf).await
    }

    async fn run(folder: Folder, port: u16, conf: String) -> Self {
        let here = folder.path().display().to_string();
        let path = folder.write("nginx.conf", conf);
        let mut command = Command::new(variable("CONSIGN_TEST_NGINX"));
        command.args(["-p", &here, "-e", "error.log", "-c", &path]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("nginx starts");
        let nginx = Self { child, folder, port };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        eventually("nginx to listen", async || http::connect(address).await.ok()).await;
        nginx
    }

    pub(crate) fn origin(&self) -> String {
        format!("https://127.0.0.1:{}/", self.port)
    }

    /// What it wrote down.
    pub(crate) fn log(&self) -> Vec<Line> {
        let text = std::fs::read_to_string(self.folder.join("access.log")).unwrap_or_default();
        let read = |line: &str| {
            let part: Vec<_> = line.split('\t').map(str::to_owned).collect();
            let [user, status, method, path, event] = part.try_into().expect("five parts");
            Line { user, status: status.parse().unwrap(), method, path, event }
        };
        text.lines().map(read).collect()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

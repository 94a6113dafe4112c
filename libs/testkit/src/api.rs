use anyhow::{Context, ensure};
use bytes::Bytes;
use mailmesh_secrets::{ExposeSecret, SecretString};
use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder};
use serde_json::Value;

/// A caller of the admin API.
#[derive(Debug, Clone)]
pub struct Api {
    http: reqwest::Client,
    url: String,
    key: Option<SecretString>,
}

/// What the API answered.
#[derive(Debug, Clone)]
pub struct ApiResponse {
    pub status: u16,
    pub headers: HeaderMap,
    /// The body.
    pub text: String,
}

impl ApiResponse {
    /// Returns the body; null when it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// Returns the body of a success.
    ///
    /// # Errors
    ///
    /// Fails with the whole answer on any other status.
    pub fn success(self) -> anyhow::Result<Value> {
        let (status, text) = (self.status, &self.text);
        ensure!((200..300).contains(&status), "{status}: {text}");
        Ok(self.json())
    }

    /// Returns the code of an error; empty when there is none.
    pub fn code(&self) -> String {
        let json = self.json();
        let code = json.pointer("/error/code").and_then(Value::as_str);
        code.unwrap_or_default().to_owned()
    }

    /// Returns the paths of the fields at fault, in order.
    pub fn fields(&self) -> Vec<String> {
        let json = self.json();
        let fields = json.pointer("/error/fields").and_then(Value::as_array);
        let paths = fields.into_iter().flatten();
        paths
            .filter_map(|field| Some(field.get("path")?.as_str()?.to_owned()))
            .collect()
    }
}

impl Api {
    /// Calls with this key.
    ///
    /// # Errors
    ///
    /// Fails when no HTTP client can be built.
    pub fn try_new(url: &str, key: Option<SecretString>) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .timeout(std::time::Duration::from_secs(20))
            .no_proxy()
            .build()?;
        Ok(Self {
            http,
            url: url.to_owned(),
            key,
        })
    }

    /// Returns the same caller with another key, or none.
    #[must_use]
    pub fn with_key(&self, key: Option<SecretString>) -> Self {
        Self {
            key,
            ..self.clone()
        }
    }

    /// Sends a request and returns whatever was answered.
    ///
    /// # Errors
    ///
    /// Fails when nothing was.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<ApiResponse> {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.json(body);
        }
        self.send(request).await.with_context(|| path.to_owned())
    }

    /// Returns a request with the key, to be changed as the test likes.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        match &self.key {
            Some(key) => request.bearer_auth(key.expose_secret()),
            None => request,
        }
    }

    /// Sends a request of `request`.
    ///
    /// # Errors
    ///
    /// Fails when nothing was answered.
    pub async fn send(&self, request: RequestBuilder) -> anyhow::Result<ApiResponse> {
        let answer = request.send().await?;
        Ok(ApiResponse {
            status: answer.status().as_u16(),
            headers: answer.headers().clone(),
            text: answer.text().await?,
        })
    }

    /// Creates something.
    ///
    /// # Errors
    ///
    /// Fails with the answer when it is refused.
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let answer = self.call(Method::POST, path, Some(body)).await?;
        answer.success().with_context(|| format!("POST {path}"))
    }

    /// Reads something.
    ///
    /// # Errors
    ///
    /// Fails with the answer when it is refused.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let answer = self.call(Method::GET, path, None).await?;
        answer.success().with_context(|| format!("GET {path}"))
    }

    /// Removes something.
    ///
    /// # Errors
    ///
    /// Fails with the answer when it is refused.
    pub async fn delete(&self, path: &str) -> anyhow::Result<()> {
        let answer = self.call(Method::DELETE, path, None).await?;
        answer.success().with_context(|| format!("DELETE {path}"))?;
        Ok(())
    }

    /// Reads something that is not JSON.
    ///
    /// # Errors
    ///
    /// Fails when it is refused.
    pub async fn download(&self, path: &str) -> anyhow::Result<Bytes> {
        let answer = self.request(Method::GET, path).send().await?;
        let status = answer.status();
        ensure!(status.is_success(), "GET {path} answered {status}");
        Ok(answer.bytes().await?)
    }
}

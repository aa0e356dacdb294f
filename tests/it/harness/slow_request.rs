//! A request that the app has begun to handle, from a slow client.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
};

use serde_json::Value;

use super::PATIENCE;

/// A POST request whose head was sent, and whose body was not.
pub struct SlowRequest {
    stream: BufReader<TcpStream>,
    body: String,
}

impl SlowRequest {
    /// Returns when the app has answered that it waits for the body. From then on, the request is
    /// in flight.
    pub fn begin(address: SocketAddr, path: &str, body: &Value) -> Self {
        let body = body.to_string();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n",
            body.len()
        )
        .unwrap();
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        assert_eq!(line, "HTTP/1.1 100 Continue\r\n");
        stream.read_line(&mut line).unwrap();
        Self { stream, body }
    }

    pub fn send_body(&mut self) {
        self.stream.get_mut().write_all(self.body.as_bytes()).unwrap();
    }

    /// The whole answer, until the app closes the connection.
    pub fn answer(mut self) -> String {
        let mut answer = String::new();
        self.stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

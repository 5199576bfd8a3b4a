//! Sessions over a connection in memory.

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io;
    use std::sync::Arc;
    use std::task::{Context, Poll, Waker};

    use rustls::pki_types::PrivateKeyDer;
    use rustls::version::{TLS12, TLS13};
    use rustls::{
        AlertDescription, ClientConfig, Error, RootCertStore, ServerConfig,
        SupportedProtocolVersion,
    };

    use super::super::session::Readable;
    use super::super::stream::{READS_MAX, TlsStream, broken_rule};
    use crate::buffer::{BUFFER_BYTES, Buffer};
    use crate::net::memory::Memory;
    use crate::net::socket::{Socket, Unasked};
    use crate::net::tls::handshake::{HandshakeTurns, accept, connect};
    use crate::net::tls::provider::provider;
    use crate::net::tls::record::RECORD_BYTES_MAX;

    /// A record that nobody has sealed.
    const GARBAGE: [u8; 37] = {
        let mut record = [7; 37];
        [record[0], record[1], record[2], record[3], record[4]] = [23, 3, 3, 0, 32];
        record
    };

    /// Two ends of a session over a connection that holds so many bytes.
    async fn pair(capacity: usize) -> (TlsStream, TlsStream) {
        pair_of(&TLS13, capacity, b"").await
    }

    /// The same of this version; these bytes come along with the last message of the client's handshake.
    async fn pair_of(
        version: &'static SupportedProtocolVersion,
        capacity: usize,
        behind: &[u8],
    ) -> (TlsStream, TlsStream) {
        let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
        let (certificate, key) = (made.cert.der().clone(), made.signing_key.serialize_der());
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let key = PrivateKeyDer::try_from(key).unwrap();
        let mut server = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let mut client = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        server.enable_secret_extraction = true;
        client.enable_secret_extraction = true;
        let (ours, theirs) = Memory::pair(capacity);
        let (turns, early) = (HandshakeTurns::default(), Buffer::new());
        let name = "a.example".try_into().unwrap();
        let accepting = accept(Socket::Memory(ours), &early, Arc::new(server), &turns);
        let connecting = connect(Socket::Memory(theirs), Arc::new(client), name);
        // The last message of the client goes with the first thing that it writes.
        let connecting = async {
            let (stream, _) = connecting.await.unwrap();
            let last = outgoing(&stream);
            send_raw(&stream, &[&last, behind].concat()).await;
            stream
        };
        let (accepted, connected) = tokio::join!(accepting, connecting);
        (accepted.unwrap().0, connected)
    }

    async fn send(stream: &TlsStream, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let count = poll_fn(|cx| stream.poll_write(cx, bytes)).await.unwrap();
            bytes = &bytes[count..];
        }
    }

    /// What is to be sent next, which counts as sent.
    fn outgoing(stream: &TlsStream) -> Vec<u8> {
        let mut session = stream.session_mut();
        let bytes = session.outgoing().to_vec();
        session.sent(bytes.len());
        bytes
    }

    async fn flush(stream: &TlsStream) {
        send_raw(stream, &outgoing(stream)).await;
    }

    async fn send_raw(stream: &TlsStream, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let count = poll_fn(|cx| stream.socket().poll_write(cx, bytes)).await.unwrap();
            bytes = &bytes[count..];
        }
    }

    async fn read(stream: &TlsStream) -> io::Result<Vec<u8>> {
        let mut buffer = Buffer::new();
        poll_fn(|cx| stream.poll_read(cx, &mut buffer)).await?;
        Ok(buffer.filled().to_vec())
    }

    async fn read_all(stream: &TlsStream, count: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < count {
            bytes.extend(read(stream).await.unwrap());
        }
        bytes
    }

    #[tokio::test]
    async fn what_is_written_arrives_however_little_the_connection_holds() {
        for capacity in [1000, 20_000, 1 << 20] {
            let (ours, theirs) = pair(capacity).await;
            let sent: Vec<u8> = (0..300_000_u32).map(|at| (at % 251) as u8).collect();
            let (up, down) = (read_all(&theirs, sent.len()), read_all(&ours, sent.len()));
            let both = async { tokio::join!(send(&ours, &sent), send(&theirs, &sent)) };
            let ((), (up, down)) = tokio::join!(
                async {
                    both.await;
                },
                async { tokio::join!(up, down) }
            );
            assert!(up == sent && down == sent, "{capacity}");
        }
    }

    #[tokio::test]
    async fn as_much_as_a_block_holds_is_written_at_once() {
        let (ours, _theirs) = pair(1 << 20).await;
        send(&ours, b"tickets go first").await;
        let bytes = [7; BUFFER_BYTES];
        let count = poll_fn(|cx| ours.poll_write(cx, &bytes)).await.unwrap();
        assert_eq!(count, bytes.len());
    }

    /// Writes until the connection is full, and returns how much was taken.
    fn fill(stream: &TlsStream, bytes: &[u8]) -> usize {
        let (mut taken, mut cx) = (0, Context::from_waker(Waker::noop()));
        while let Poll::Ready(count) = stream.poll_write(&mut cx, &bytes[taken..]) {
            taken += count.unwrap();
        }
        taken
    }

    #[tokio::test]
    async fn what_the_kernel_has_of_a_block_counts_as_taken() {
        let (ours, theirs) = pair(20_000).await;
        let (before, bytes) = (ours.carried(), [7; 60_000]);
        let taken = fill(&ours, &bytes);
        assert!((15_000..20_000).contains(&taken), "{taken}");
        assert_eq!(ours.carried() - before, 20_000);
        let (rest, arrived) = tokio::join!(
            async {
                send(&ours, &bytes[taken..]).await;
            },
            read_all(&theirs, bytes.len())
        );
        assert_eq!((rest, arrived), ((), bytes.to_vec()));
    }

    #[tokio::test]
    async fn an_answer_is_read_even_if_nothing_more_can_be_sent() {
        let (ours, theirs) = pair(20_000).await;
        fill(&ours, &[7; 60_000]);
        send(&theirs, b"enough").await;
        drop(theirs);
        assert_eq!(read(&ours).await.unwrap(), b"enough");
    }

    #[tokio::test]
    async fn an_end_in_order_is_told_from_a_cut() {
        let (ours, theirs) = pair(1 << 20).await;
        send(&ours, b"all").await;
        drop(ours);
        assert_eq!(read(&theirs).await.unwrap(), b"all");
        assert_eq!(read(&theirs).await.unwrap(), b"");
        let (ours, theirs) = pair(1 << 20).await;
        send(&ours, b"some").await;
        ours.socket().shutdown().unwrap();
        assert_eq!(read(&theirs).await.unwrap(), b"some");
        let cut = read(&theirs).await.map_err(|error| error.kind());
        assert_eq!(cut, Err(io::ErrorKind::UnexpectedEof));
    }

    #[tokio::test]
    async fn a_peer_that_has_ended_its_direction_is_still_answered() {
        let (ours, theirs) = pair(1 << 20).await;
        poll_fn(|cx| theirs.poll_shutdown(cx)).await.unwrap();
        assert_eq!(read(&ours).await.unwrap(), b"");
        send(&ours, b"answer").await;
        assert_eq!(read(&theirs).await.unwrap(), b"answer");
    }

    #[tokio::test]
    async fn what_is_kept_free_in_a_buffer_stays_free() {
        let (ours, theirs) = pair(1 << 20).await;
        send(&theirs, b"1234").await;
        let mut buffer = Buffer::new();
        buffer.append(&[7; BUFFER_BYTES - 3]);
        let count = poll_fn(|cx| ours.poll_read(cx, &mut buffer)).await.unwrap();
        assert_eq!((count, buffer.append(b"\r\n")), (3, 2));
        assert_eq!(read(&ours).await.unwrap(), b"4");
    }

    #[tokio::test]
    async fn nothing_follows_an_alert() {
        let (ours, theirs) = pair(1 << 20).await;
        send_raw(&theirs, &GARBAGE).await;
        let broken = read(&ours).await.unwrap_err();
        assert_eq!(broken_rule(&broken), Some(&Error::DecryptError));
        assert!(poll_fn(|cx| ours.poll_write(cx, b"x")).await.is_err());
        drop(ours);
        let told = read(&theirs).await.unwrap_err();
        let alert = Error::AlertReceived(AlertDescription::BadRecordMac);
        assert_eq!(broken_rule(&told), Some(&alert));
    }

    #[tokio::test]
    async fn what_is_wrong_right_behind_a_handshake_is_told() {
        let (ours, theirs) = pair_of(&TLS13, 1 << 20, &GARBAGE).await;
        let broken = read(&ours).await.unwrap_err();
        assert_eq!(broken_rule(&broken), Some(&Error::DecryptError));
        let mut cx = Context::from_waker(Waker::noop());
        let told = theirs.poll_read(&mut cx, &mut Buffer::new());
        let Poll::Ready(Err(told)) = told else { panic!("{told:?}") };
        let alert = Error::AlertReceived(AlertDescription::BadRecordMac);
        assert_eq!(broken_rule(&told), Some(&alert));
    }

    #[tokio::test]
    async fn a_flood_of_the_protocol_only_is_not_read_to_its_end_at_once() {
        let (ours, theirs) = pair(1 << 20).await;
        flush(&ours).await;
        assert!(theirs.is_quiet());
        let mut layer = ours.session_mut().take_record_layer().unwrap();
        // A ticket in pieces with much padding: twice as many blocks as are read at a time.
        let (mut wire, body) = (Vec::new(), [0; 2 * READS_MAX * BUFFER_BYTES / RECORD_BYTES_MAX]);
        let ticket = [&[4, 0, 1, 0][..], &body].concat();
        for byte in ticket {
            layer.forge(22, &[byte], RECORD_BYTES_MAX - 1, &mut wire);
        }
        send_raw(&ours, &wire).await;
        assert_eq!(theirs.unasked(), Unasked::Bytes);
        assert!((0..10).any(|_| theirs.unasked() == Unasked::Nothing));
    }

    #[tokio::test]
    async fn nothing_follows_a_goodbye() {
        for version in [&TLS12, &TLS13] {
            let (ours, theirs) = pair_of(version, 1 << 20, b"").await;
            poll_fn(|cx| ours.poll_shutdown(cx)).await.unwrap();
            let carried = ours.carried();
            let refused = poll_fn(|cx| ours.poll_write(cx, b"x")).await.unwrap_err();
            assert_eq!(broken_rule(&refused), Some(&Error::EncryptError));
            assert_eq!(ours.carried(), carried);
            assert_eq!(read(&theirs).await.unwrap(), b"");
        }
    }

    #[tokio::test]
    async fn tickets_are_nothing_unasked() {
        let (ours, theirs) = pair(1 << 20).await;
        flush(&ours).await;
        assert!(!theirs.socket().is_quiet());
        assert_eq!(theirs.unasked(), Unasked::Nothing);
        assert!(theirs.is_quiet());
        send(&ours, b"x").await;
        assert_eq!(theirs.unasked(), Unasked::Bytes);
        assert!(!theirs.is_quiet());
        drop(ours);
        read(&theirs).await.unwrap();
        assert_eq!(theirs.unasked(), Unasked::End);
    }

    #[tokio::test]
    async fn no_more_is_received_than_there_is_room_for() {
        for version in [&TLS12, &TLS13] {
            let (ours, theirs) = pair_of(version, 1 << 20, b"").await;
            send(&theirs, &[7; 4 * BUFFER_BYTES]).await;
            let mut buffer = Buffer::new();
            for _ in 0..4 {
                buffer.clear();
                buffer.begin_with_room(RECORD_BYTES_MAX);
                poll_fn(|cx| ours.poll_read(cx, &mut buffer)).await.unwrap();
                let session = ours.session();
                assert_eq!((buffer.len(), session.peek()), (RECORD_BYTES_MAX, Readable::Nothing));
                assert!(session.partial().len() < 100);
            }
        }
    }

    #[tokio::test]
    async fn plaintext_goes_straight_to_where_there_is_room() {
        for version in [&TLS12, &TLS13] {
            let (ours, theirs) = pair_of(version, 1 << 20, b"").await;
            send(&theirs, b"request").await;
            let session = &mut *ours.session_mut();
            let (mut incoming, mut buffer) = (session.begin_receiving(), Buffer::new());
            let count = ours.socket().try_read(incoming.spare_mut()).unwrap();
            incoming.fill(count);
            session.receive(incoming, Some(&mut buffer));
            assert_eq!((buffer.filled(), session.peek()), (&b"request"[..], Readable::Nothing));
        }
    }

    #[tokio::test]
    async fn a_session_that_rests_holds_no_block() {
        let (ours, theirs) = pair(1 << 20).await;
        send(&theirs, b"request").await;
        read(&ours).await.unwrap();
        send(&ours, b"answer").await;
        let session = ours.session();
        assert_eq!(format!("{session:?}").matches(": 0").count(), 4, "{session:?}");
        assert!(!session.holds_block());
    }
}

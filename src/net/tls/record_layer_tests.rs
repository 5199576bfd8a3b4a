//! What follows a handshake, with a peer that has the keys.

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::sync::Arc;

    use rustls::{
        AlertDescription, ClientConfig, ClientConnection, Error, HandshakeType, InvalidMessage,
        PeerMisbehaved, ProtocolVersion, ServerConfig,
    };

    use super::super::fuzz::CONFIGS;
    use super::super::record::RECORD_BYTES_MAX;
    use super::super::record_layer::{Content, RecordLayer};
    use super::super::record_layer_fuzz::{TICKET, pair};
    use super::super::session::{Readable, TlsSession};
    use crate::buffer::{BUFFER_BYTES, Buffer};

    const ALERT: u8 = 21;
    const HANDSHAKE: u8 = 22;
    const PLAIN: u8 = 23;

    const ASKED_UPDATE: [u8; 5] = [24, 0, 0, 1, 1];
    const UPDATE: [u8; 5] = [24, 0, 0, 1, 0];

    /// What there is in a record, by its length alone if it is plaintext.
    #[derive(Debug, PartialEq)]
    enum Came {
        Plain(usize),
        Control,
        End,
    }

    /// Opens what is in `wire`, until something is refused.
    fn open(layer: &mut RecordLayer, wire: &[u8]) -> Result<Vec<Came>, Error> {
        let (mut wire, mut at, mut came) = (wire.to_vec(), 0, Vec::new());
        while let Some(opened) = layer.open(&mut wire[at..], None)? {
            at += opened.bytes;
            came.push(match opened.content {
                Content::Plain(bytes) => Came::Plain(bytes.len()),
                Content::Control => Came::Control,
                Content::End => Came::End,
                Content::Placed => panic!("there is no buffer"),
            });
        }
        Ok(came)
    }

    /// What becomes of records of these kinds and contents from the peer of a server, or of a client.
    fn received(from_client: bool, records: &[(u8, &[u8])]) -> Result<Vec<Came>, Error> {
        let (mut server, mut client) = pair();
        let (ours, theirs) =
            if from_client { (&mut server, &mut client) } else { (&mut client, &mut server) };
        let mut wire = Vec::new();
        for (kind, content) in records {
            theirs.forge(*kind, content, 0, &mut wire);
        }
        open(ours, &wire)
    }

    /// Has a peer send this update of its key, and seal with the next one from there on.
    fn update_key(peer: &mut RecordLayer, update: &[u8], wire: &mut Vec<u8>) {
        peer.forge(HANDSHAKE, update, 0, wire);
        peer.skip_key();
    }

    fn sealed(layer: &mut RecordLayer, plain: &[u8]) -> Vec<u8> {
        let mut room = vec![0; plain.len() + 1000];
        let count = layer.seal(plain, &mut room).unwrap();
        room.truncate(count);
        room
    }

    fn refused(error: impl Into<Error>) -> Result<Vec<Came>, Error> {
        Err(error.into())
    }

    #[test]
    fn plaintext_goes_where_there_is_room_for_all_of_a_record() {
        let (mut server, mut client) = pair();
        let plain: Vec<u8> = (0..=250).cycle().take(RECORD_BYTES_MAX).collect();
        for (room, is_placed) in
            [(BUFFER_BYTES, true), (RECORD_BYTES_MAX, true), (RECORD_BYTES_MAX - 1, false)]
        {
            let mut wire = sealed(&mut client, &plain);
            let mut into = Buffer::new();
            into.begin_with_room(room);
            let opened = server.open(&mut wire, Some(&mut into)).unwrap().unwrap();
            let expected = if is_placed { Content::Placed } else { Content::Plain(&plain) };
            assert_eq!(opened.content, expected, "{room}");
            assert_eq!(into.filled(), if is_placed { &plain[..] } else { &[] }, "{room}");
        }
    }

    #[test]
    fn a_block_takes_as_many_records_as_it_holds() {
        let (mut server, mut client) = pair();
        let plain = vec![7; BUFFER_BYTES];
        let (mut wire, mut into, mut at) = (sealed(&mut server, &plain), Buffer::new(), 0);
        while let Some(opened) = client.open(&mut wire[at..], Some(&mut into)).unwrap() {
            assert_eq!(opened.content, Content::Placed);
            at += opened.bytes;
        }
        assert_eq!((into.filled(), at), (&plain[..], wire.len()));
        // What is kept free for others is free.
        assert_eq!(into.append(b"\r\n"), 2);
    }

    #[test]
    fn a_key_update_that_is_asked_for_comes_before_the_next_record_and_once() {
        let (mut server, mut client) = pair();
        let mut wire = Vec::new();
        for _ in 0..3 {
            update_key(&mut client, &ASKED_UPDATE, &mut wire);
        }
        client.forge(PLAIN, b"abc", 0, &mut wire);
        let came = open(&mut server, &wire).unwrap();
        assert_eq!(came, [Came::Control, Came::Control, Came::Control, Came::Plain(3)]);
        for expected in [vec![Came::Control, Came::Plain(2)], vec![Came::Plain(2)]] {
            let answer = sealed(&mut server, b"ok");
            assert_eq!(open(&mut client, &answer).unwrap(), expected);
        }
    }

    #[test]
    fn a_key_update_that_asks_for_nothing_is_not_answered() {
        let (mut server, mut client) = pair();
        let mut wire = Vec::new();
        update_key(&mut client, &UPDATE, &mut wire);
        client.forge(PLAIN, b"abc", 0, &mut wire);
        assert_eq!(open(&mut server, &wire).unwrap(), [Came::Control, Came::Plain(3)]);
        assert_eq!(open(&mut client, &sealed(&mut server, b"ok")).unwrap(), [Came::Plain(2)]);
    }

    #[test]
    fn nothing_is_opened_with_a_key_that_was_replaced() {
        let (mut server, mut client) = pair();
        let mut wire = Vec::new();
        client.forge(HANDSHAKE, &UPDATE, 0, &mut wire);
        client.forge(PLAIN, b"abc", 0, &mut wire);
        assert_eq!(open(&mut server, &wire), refused(Error::DecryptError));
    }

    #[test]
    fn a_key_that_has_sealed_all_that_it_may_is_replaced_before_the_next_record() {
        let (mut server, mut client) = pair();
        // One record went with tickets, or none. What AES-GCM may seal is 2²⁴ of them.
        assert_eq!(server.limit(6), 1 << 24);
        let mut wire = Vec::new();
        for _ in 0..12 {
            wire.extend(sealed(&mut server, b"x"));
        }
        let came = open(&mut client, &wire).unwrap();
        assert_eq!(came.iter().filter(|what| **what == Came::Plain(1)).count(), 12);
        let updates: Vec<usize> = (0..came.len()).filter(|at| came[*at] == Came::Control).collect();
        assert_eq!(updates.len(), 2, "{came:?}");
        // The update is the sixth.
        assert_eq!(updates[1] - updates[0], 6, "{came:?}");
    }

    #[test]
    fn more_key_updates_in_a_row_than_32_are_refused() {
        let (mut server, mut client) = pair();
        // Plaintext in between begins the count again.
        for updates in [32, 32, 33] {
            let mut wire = Vec::new();
            client.forge(PLAIN, b"abc", 0, &mut wire);
            for _ in 0..updates {
                update_key(&mut client, &ASKED_UPDATE, &mut wire);
            }
            let came = open(&mut server, &wire).map(|came| came.len());
            let too_many = Err(PeerMisbehaved::TooManyKeyUpdateRequests.into());
            assert_eq!(came, if updates == 32 { Ok(33) } else { too_many });
        }
    }

    #[test]
    fn an_empty_record_does_not_begin_the_count_of_key_updates_again() {
        let (mut server, mut client) = pair();
        let mut wire = Vec::new();
        for _ in 0..33 {
            update_key(&mut client, &UPDATE, &mut wire);
            client.forge(PLAIN, b"", 0, &mut wire);
        }
        let error = PeerMisbehaved::TooManyKeyUpdateRequests;
        assert_eq!(open(&mut server, &wire), refused(error));
    }

    #[test]
    fn more_tickets_in_a_row_than_32_are_refused() {
        let ticket: (u8, &[u8]) = (HANDSHAKE, &TICKET);
        // Plaintext in between begins the count again, and nothing else does. Some have come already.
        let mut records = vec![(PLAIN, &b"x"[..])];
        records.extend([ticket; 32]);
        records.push((PLAIN, b"x"));
        records.extend([ticket; 32]);
        records.push((PLAIN, b""));
        assert_eq!(received(false, &records).map(|came| came.len()), Ok(67));
        records.push(ticket);
        let expect_types = vec![HandshakeType::KeyUpdate];
        let got_type = HandshakeType::NewSessionTicket;
        let error = Error::InappropriateHandshakeMessage { expect_types, got_type };
        assert_eq!(received(false, &records), refused(error));
    }

    #[test]
    fn what_is_no_key_update_is_refused() {
        let rows: [(&[u8], Error); 5] = [
            (&[24, 0, 0, 1, 2], InvalidMessage::InvalidKeyUpdate.into()),
            (&[24, 0, 0, 0], InvalidMessage::MessageTooShort.into()),
            (&[24, 0, 0, 2, 0, 0], InvalidMessage::HandshakePayloadTooLarge.into()),
            (&[24, 0, 0, 1, 0, 24], PeerMisbehaved::KeyEpochWithPendingFragment.into()),
            (&[], InvalidMessage::InvalidEmptyPayload.into()),
        ];
        for (message, error) in rows {
            assert_eq!(received(true, &[(HANDSHAKE, message)]), Err(error), "{message:?}");
        }
    }

    #[test]
    fn messages_come_in_pieces_and_together() {
        let pieces: [(u8, &[u8]); 3] =
            [(HANDSHAKE, &TICKET[..2]), (HANDSHAKE, &TICKET[2..10]), (HANDSHAKE, &TICKET[10..])];
        assert_eq!(received(false, &pieces), Ok(vec![Came::Control, Came::Control, Came::Control]));
        let two = [TICKET, TICKET].concat();
        let together: [(u8, &[u8]); 2] = [(HANDSHAKE, &two), (PLAIN, b"abc")];
        assert_eq!(received(false, &together), Ok(vec![Came::Control, Came::Plain(3)]));
    }

    #[test]
    fn nothing_comes_between_the_pieces_of_a_message() {
        let error = PeerMisbehaved::MessageInterleavedWithHandshakeMessage;
        for (kind, content) in [(PLAIN, &b"abc"[..]), (ALERT, &[1, 0])] {
            let records: [(u8, &[u8]); 2] = [(HANDSHAKE, &TICKET[..9]), (kind, content)];
            assert_eq!(received(false, &records), refused(error.clone()));
        }
        let given_up: [(u8, &[u8]); 2] = [(HANDSHAKE, &TICKET[..9]), (ALERT, &[2, 80])];
        let alert = Error::AlertReceived(AlertDescription::InternalError);
        assert_eq!(received(false, &given_up), refused(alert));
    }

    #[test]
    fn messages_that_nobody_may_send_are_refused_before_they_are_whole() {
        let is_refused = |from_client, kind: HandshakeType| {
            let message = [u8::from(kind), 0, 1, 0];
            let refused = received(from_client, &[(HANDSHAKE, &message)]);
            matches!(refused, Err(Error::InappropriateHandshakeMessage { .. }))
        };
        // A request for a certificate was not offered to be answered (RFC 8446 §4.6.2).
        for kind in [HandshakeType::CertificateRequest, HandshakeType::ClientHello] {
            assert!(is_refused(true, kind) && is_refused(false, kind), "{kind:?}");
        }
        assert!(is_refused(true, HandshakeType::NewSessionTicket));
        assert!(!is_refused(false, HandshakeType::NewSessionTicket));
    }

    #[test]
    fn a_ticket_that_is_none_or_too_long_is_refused() {
        let short = received(false, &[(HANDSHAKE, &[4, 0, 0, 3, 0, 0, 0])]);
        assert!(matches!(short, Err(Error::InvalidMessage(_))), "{short:?}");
        let long = received(false, &[(HANDSHAKE, &[4, 0, 128, 1])]);
        assert_eq!(long, refused(InvalidMessage::HandshakePayloadTooLarge));
        assert_eq!(received(false, &[(HANDSHAKE, &[4, 0, 128, 0])]), Ok(vec![Came::Control]));
    }

    #[test]
    fn an_alert_ends_the_session_unless_it_means_nothing() {
        let told = |alert: &[u8]| received(true, &[(ALERT, alert)]);
        assert_eq!(told(&[1, 0]), Ok(vec![Came::End]));
        assert_eq!(told(&[2, 0]), Ok(vec![Came::End]));
        assert_eq!(told(&[1, 90]), Ok(vec![Came::Control]));
        let alert = |number: u8| refused(Error::AlertReceived(AlertDescription::from(number)));
        assert_eq!(told(&[2, 90]), alert(90));
        assert_eq!(told(&[1, 40]), alert(40));
        assert_eq!(told(&[2, 116]), alert(116));
        assert_eq!(told(&[3, 0]), refused(InvalidMessage::UnexpectedMessage("AlertLevel")));
        assert_eq!(told(&[1]), refused(InvalidMessage::MessageTooShort));
        assert_eq!(told(&[1, 0, 0]), refused(InvalidMessage::TrailingData("AlertMessagePayload")));
        let many: [(u8, &[u8]); 5] = [(ALERT, &[1, 90]); 5];
        assert_eq!(received(true, &many[..4]).map(|came| came.len()), Ok(4));
        assert_eq!(received(true, &many), refused(PeerMisbehaved::TooManyWarningAlertsReceived));
    }

    #[test]
    fn more_empty_records_in_a_row_than_32_are_refused() {
        let empty: (u8, &[u8]) = (PLAIN, b"");
        let mut records = vec![empty; 32];
        records.push((PLAIN, b"x"));
        records.extend([empty; 32]);
        assert_eq!(received(true, &records).map(|came| came.len()), Ok(65));
        records.push(empty);
        assert_eq!(received(true, &records), refused(PeerMisbehaved::TooManyEmptyFragments));
    }

    #[test]
    fn content_of_other_kinds_is_refused() {
        let hidden = received(true, &[(20, &[1])]);
        assert_eq!(hidden, refused(PeerMisbehaved::IllegalMiddleboxChangeCipherSpec));
        for kind in [24, 99] {
            let refused = received(true, &[(kind, b"abc")]);
            assert!(matches!(refused, Err(Error::InappropriateMessage { .. })), "{refused:?}");
        }
    }

    /// A key update that comes along with the end of the handshake must be answered by whoever goes on.
    #[test]
    fn what_comes_along_with_the_end_of_a_handshake_is_not_lost() {
        for pieces in [1, 2, 3, 7, 1000] {
            let (server, client) = CONFIGS[1].clone();
            let mut server = serve(server, client, pieces);
            assert!(server.take_record_layer().is_some(), "{pieces}");
        }
    }

    #[test]
    fn rustls_goes_on_where_it_keeps_its_keys_or_it_is_tls_1_2() {
        let (server, client) = CONFIGS[1].clone();
        let mut keeping = ServerConfig::clone(&server);
        keeping.enable_secret_extraction = false;
        assert!(serve(Arc::new(keeping), client, 3).take_record_layer().is_none());
        let (server, client) = CONFIGS[0].clone();
        assert!(serve(server, client, 3).take_record_layer().is_none());
    }

    /// Has a client send a request right behind its handshake, in so many pieces, and get two answers.
    fn serve(server: Arc<ServerConfig>, client: Arc<ClientConfig>, pieces: usize) -> TlsSession {
        let mut client = ClientConnection::new(client, "a.example".try_into().unwrap()).unwrap();
        let mut server = TlsSession::server(server).unwrap();
        receive(&mut server, &written(&mut client));
        answer(&mut server, &mut client);
        let mut rest = written(&mut client);
        if client.is_handshaking() {
            // TLS 1.2 has a word of the server last.
            receive(&mut server, &rest);
            answer(&mut server, &mut client);
        } else {
            client.refresh_traffic_keys().unwrap();
            client.writer().write_all(b"request").unwrap();
            rest.extend(written(&mut client));
            for piece in rest.chunks(rest.len().div_ceil(pieces)) {
                receive(&mut server, piece);
            }
        }
        server.leave_rustls();
        if client.protocol_version() == Some(ProtocolVersion::TLSv1_2) {
            client.writer().write_all(b"request").unwrap();
            receive(&mut server, &written(&mut client));
        }
        let mut buffer = Buffer::new();
        assert_eq!(server.read(&mut buffer), Readable::Bytes(7), "{pieces}");
        assert_eq!(buffer.filled(), b"request");
        for _ in 0..2 {
            server.seal(b"answer").unwrap();
            answer(&mut server, &mut client);
            assert!(server.settle() > 0);
            let mut room = [0; 10];
            assert_eq!(client.reader().read(&mut room).unwrap(), 6);
            assert_eq!(&room[..6], b"answer", "{pieces}");
        }
        server
    }

    fn written(client: &mut ClientConnection) -> Vec<u8> {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        bytes
    }

    fn receive(session: &mut TlsSession, bytes: &[u8]) {
        let mut incoming = session.begin_receiving();
        incoming.append(bytes);
        session.receive(incoming, None);
    }

    /// Has `client` take all that is sent to it.
    fn answer(session: &mut TlsSession, client: &mut ClientConnection) {
        loop {
            let bytes = session.outgoing().to_vec();
            session.sent(bytes.len());
            if bytes.is_empty() {
                return;
            }
            client.read_tls(&mut &bytes[..]).unwrap();
            client.process_new_packets().unwrap();
        }
    }
}

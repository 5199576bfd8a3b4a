//! Protection of the records of TLS 1.3 (RFC 8446 §5), once the keys are known.

use rustls::{
    AlertDescription, ConnectionTrafficSecrets, ContentType, Error, InvalidMessage, PeerMisbehaved,
};

use super::aead::{Aead, HEADER_BYTES, NONCE_BYTES, TAG_BYTES};

/// The most plaintext of a record, in bytes (§5.1).
pub const RECORD_BYTES_MAX: usize = 1 << 14;

/// What a record adds to its plaintext, in bytes: header, content type, tag. Nothing is padded here.
pub const RECORD_OVERHEAD_BYTES: usize = HEADER_BYTES + 1 + TAG_BYTES;

/// The most that a record may be after its header, in bytes (§5.2).
const SEALED_BYTES_MAX: usize = RECORD_BYTES_MAX + 256;

/// A record that has come whole, encrypted.
#[derive(Debug)]
pub struct Record<'a> {
    header: [u8; HEADER_BYTES],
    /// What is encrypted, and its tag.
    sealed: &'a mut [u8],
}

impl<'a> Record<'a> {
    /// The first one of `incoming`; `None` if it is not all there. Whatever is not protected is refused,
    /// and what is too long or too short is before the rest of it has come.
    pub fn first(incoming: &'a mut [u8]) -> Result<Option<Self>, Error> {
        let Some((header, rest)) = incoming.split_first_chunk_mut::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let header = *header;
        match ContentType::from(header[0]) {
            ContentType::ApplicationData => {}
            // After the handshake there is no reason for one any more (§5).
            ContentType::ChangeCipherSpec => {
                return Err(PeerMisbehaved::IllegalMiddleboxChangeCipherSpec.into());
            }
            ContentType::Unknown(_) => return Err(InvalidMessage::InvalidContentType.into()),
            got_type => {
                let expect_types = vec![ContentType::ApplicationData];
                return Err(Error::InappropriateMessage { expect_types, got_type });
            }
        }
        let count = usize::from(u16::from_be_bytes([header[3], header[4]]));
        if count > SEALED_BYTES_MAX {
            return Err(Error::PeerSentOversizedRecord);
        }
        if count <= TAG_BYTES {
            return Err(Error::DecryptError);
        }
        Ok(rest.get_mut(..count).map(|sealed| Self { header, sealed }))
    }

    /// How many bytes it is in all.
    pub fn bytes(&self) -> usize {
        HEADER_BYTES + self.sealed.len()
    }

    /// How many bytes it is decrypted: content, its type, and padding.
    pub fn inner_bytes(&self) -> usize {
        self.sealed.len() - TAG_BYTES
    }
}

/// What protects one direction until its keys are updated.
pub struct RecordKey {
    aead: Aead,
    vector: [u8; NONCE_BYTES],
    sequence: u64,
}

impl RecordKey {
    /// With the keys of `secrets`, after so many records.
    pub fn new((sequence, secrets): (u64, &ConnectionTrafficSecrets)) -> Result<Self, Error> {
        let (aead, vector) = Aead::new(secrets)?;
        Ok(Self { aead, vector, sequence })
    }

    /// How many records it has protected.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The nonce of the next record (§5.3): none is ever given twice. There are more than anybody can use.
    fn nonce(&mut self) -> Option<[u8; NONCE_BYTES]> {
        let mut nonce = self.vector;
        for (byte, of_sequence) in
            nonce[NONCE_BYTES - 8..].iter_mut().zip(self.sequence.to_be_bytes())
        {
            *byte ^= of_sequence;
        }
        self.sequence = self.sequence.checked_add(1)?;
        Some(nonce)
    }

    /// Makes a record of `plain`, at most [`RECORD_BYTES_MAX`], in `room`; returns how many bytes it has.
    pub fn seal(
        &mut self,
        kind: ContentType,
        plain: &[u8],
        room: &mut [u8],
    ) -> Result<usize, Error> {
        let bytes = RECORD_OVERHEAD_BYTES + plain.len();
        let (room, count) = match (room.get_mut(..bytes), u16::try_from(bytes - HEADER_BYTES)) {
            (Some(room), Ok(count)) if plain.len() <= RECORD_BYTES_MAX => (room, count),
            _ => return Err(Error::General("a record does not fit".to_owned())),
        };
        let nonce = self.nonce().ok_or(Error::EncryptError)?;
        let [high, low] = count.to_be_bytes();
        let header = [u8::from(ContentType::ApplicationData), 3, 3, high, low];
        let (place, sealed) = room.split_at_mut(HEADER_BYTES);
        place.copy_from_slice(&header);
        self.aead.seal(nonce, header, (plain, u8::from(kind)), sealed)?;
        Ok(bytes)
    }

    /// Verifies and decrypts the next record where it is.
    pub fn open<'a>(&mut self, record: Record<'a>) -> Result<(ContentType, &'a [u8]), Error> {
        let nonce = self.nonce().ok_or(Error::DecryptError)?;
        let Record { header, sealed } = record;
        let inner = self.aead.open(nonce, header, sealed)?;
        let (kind, count) = unpadded(inner)?;
        Ok((kind, &inner[..count]))
    }

    /// The same into `room`, which has [`Record::inner_bytes`]: says how many of them count.
    pub fn open_into(
        &mut self,
        record: Record<'_>,
        room: &mut [u8],
    ) -> Result<(ContentType, usize), Error> {
        let nonce = self.nonce().ok_or(Error::DecryptError)?;
        let Record { header, sealed } = record;
        self.aead.open_into(nonce, header, sealed, room)?;
        unpadded(room)
    }
}

/// The type of what was in a record, and how many bytes of it are no padding (§5.4).
fn unpadded(inner: &[u8]) -> Result<(ContentType, usize), Error> {
    if inner.len() > RECORD_BYTES_MAX + 1 {
        return Err(Error::PeerSentOversizedRecord);
    }
    let Some(count) = inner.iter().rposition(|byte| *byte != 0) else {
        return Err(PeerMisbehaved::IllegalTlsInnerPlaintext.into());
    };
    Ok((ContentType::from(inner[count]), count))
}

/// What the peer is told of an error that is its own (§6.2); `None` if it was the peer that gave up.
pub fn alert_of(error: &Error) -> Option<AlertDescription> {
    Some(match error {
        Error::AlertReceived(_) => return None,
        Error::DecryptError => AlertDescription::BadRecordMac,
        Error::PeerSentOversizedRecord => AlertDescription::RecordOverflow,
        Error::InvalidMessage(InvalidMessage::InvalidKeyUpdate) => {
            AlertDescription::IllegalParameter
        }
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::InvalidEmptyPayload,
        )
        | Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. }
        | Error::PeerMisbehaved(_) => AlertDescription::UnexpectedMessage,
        Error::InvalidMessage(_) => AlertDescription::DecodeError,
        _ => AlertDescription::InternalError,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys, and a record of 50 bytes from 0 to 49, of RFC 8448 §3: of the client the first one, of the
    /// server the second, after a ticket.
    const CLIENT_KEY: &str = "17422dda596ed5d9acd890e3c63f5051";
    const CLIENT_VECTOR: &str = "5b78923dee08579033e523d9";
    const CLIENT_RECORD: &str = "1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b98\
        19a8a5b46b395bd54a9a20441e2b62974e1f5a6292a2977014bd1e3deae63aeebb21694915e4";
    const SERVER_KEY: &str = "9f02283b6c9c07efc26bb9f2ac92e356";
    const SERVER_VECTOR: &str = "cf782b88dd83549aadf1e984";
    const SERVER_RECORD: &str = "17030300432e937e11ef4ac740e538ad36005fc4a46932fc3225d05f82aa1b36e30e\
        faf97d90e6dffc602dcb501a59a8fcc49c4bf2e5f0a21c0047c2abf332540dd032e167c2955d";
    /// The `close_notify` of the client after that.
    const CLIENT_ALERT: &str = "1703030013c9872760655666b74d7ff1153efd6db6d0b0e3";

    fn hex(digits: &str) -> Vec<u8> {
        let digits: Vec<u8> = digits.bytes().filter(u8::is_ascii_hexdigit).collect();
        let byte =
            |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.chunks(2).map(byte).collect()
    }

    fn keys(key: &str, vector: &str, sequence: u64) -> [RecordKey; 2] {
        let vector: [u8; NONCE_BYTES] = hex(vector).try_into().unwrap();
        let keys = Aead::known(hex(key).try_into().unwrap());
        keys.map(|aead| RecordKey { aead, vector, sequence })
    }

    fn sealed(key: &mut RecordKey, kind: ContentType, plain: &[u8]) -> Vec<u8> {
        let mut room = vec![0; plain.len() + RECORD_OVERHEAD_BYTES];
        assert_eq!(key.seal(kind, plain, &mut room).unwrap(), room.len());
        room
    }

    /// What the first record of `bytes` is refused for.
    fn refusal(mut bytes: Vec<u8>) -> Option<Error> {
        Record::first(&mut bytes).err()
    }

    #[test]
    fn the_records_of_rfc_8448_are_made_and_read() {
        let plain: Vec<u8> = (0..50).collect();
        for (key, vector, sequence, expected) in [
            (CLIENT_KEY, CLIENT_VECTOR, 0, CLIENT_RECORD),
            (SERVER_KEY, SERVER_VECTOR, 1, SERVER_RECORD),
        ] {
            for mut key in keys(key, vector, sequence) {
                let made = sealed(&mut key, ContentType::ApplicationData, &plain);
                assert_eq!(made, hex(expected));
                key.sequence = sequence;
                let mut bytes = hex(expected);
                let record = Record::first(&mut bytes).unwrap().unwrap();
                assert_eq!((record.bytes(), record.inner_bytes()), (72, 51));
                let opened = key.open(record).unwrap();
                assert_eq!(opened, (ContentType::ApplicationData, &plain[..]));
            }
        }
    }

    #[test]
    fn the_alert_of_rfc_8448_is_made_and_read() {
        for mut key in keys(CLIENT_KEY, CLIENT_VECTOR, 1) {
            assert_eq!(sealed(&mut key, ContentType::Alert, &[1, 0]), hex(CLIENT_ALERT));
            key.sequence = 1;
            let (mut bytes, mut room) = (hex(CLIENT_ALERT), [0; 3]);
            let record = Record::first(&mut bytes).unwrap().unwrap();
            let opened = key.open_into(record, &mut room).unwrap();
            assert_eq!((opened, room), ((ContentType::Alert, 2), [1, 0, 21]));
        }
    }

    #[test]
    fn a_record_that_is_not_all_there_is_waited_for() {
        let whole = hex(CLIENT_ALERT);
        for count in 0..whole.len() {
            assert!(Record::first(&mut whole[..count].to_vec()).unwrap().is_none(), "{count}");
        }
    }

    #[test]
    fn no_nonce_is_given_twice() {
        let [mut key, _] = keys(CLIENT_KEY, CLIENT_VECTOR, 0);
        assert_eq!(key.nonce().unwrap()[..], hex(CLIENT_VECTOR));
        assert_eq!(key.nonce().unwrap()[..], hex("5b78923dee08579033e523d8"));
        key.sequence = u64::MAX - 1;
        assert_eq!(key.nonce().unwrap()[..], hex("5b78923d11f7a86fcc1adc27"));
        assert_eq!(key.nonce(), None);
        assert_eq!(key.nonce(), None);
        let mut room = [0; 100];
        let sealed = key.seal(ContentType::ApplicationData, b"x", &mut room);
        assert_eq!((sealed, room), (Err(Error::EncryptError), [0; 100]));
        let mut bytes = hex(CLIENT_ALERT);
        let record = Record::first(&mut bytes).unwrap().unwrap();
        assert_eq!(key.open(record), Err(Error::DecryptError));
    }

    #[test]
    fn what_is_not_protected_is_refused_at_its_first_bytes() {
        let header = |kind| vec![kind, 3, 3, 0, 32];
        let refused = PeerMisbehaved::IllegalMiddleboxChangeCipherSpec.into();
        assert_eq!(refusal(header(20)), Some(refused));
        for kind in [21, 22, 24] {
            let refused = refusal(header(kind));
            assert!(matches!(refused, Some(Error::InappropriateMessage { .. })), "{refused:?}");
        }
        for kind in [0, 19, 25, 255] {
            assert_eq!(refusal(header(kind)), Some(InvalidMessage::InvalidContentType.into()));
        }
    }

    #[test]
    fn lengths_that_no_record_can_have_are_refused_at_once() {
        let header = |bytes: u16| [&[23, 3, 3][..], &bytes.to_be_bytes()].concat();
        assert_eq!(refusal(header(16_384 + 257)), Some(Error::PeerSentOversizedRecord));
        assert_eq!(refusal(header(16_384 + 256)), None);
        assert_eq!(refusal(header(16)), Some(Error::DecryptError));
        assert_eq!(refusal(header(17)), None);
    }

    #[test]
    fn padding_is_taken_off_and_not_all_can_be_padding() {
        assert_eq!(unpadded(b"abc\x17\0\0"), Ok((ContentType::ApplicationData, 3)));
        assert_eq!(unpadded(b"\x15"), Ok((ContentType::Alert, 0)));
        let refused: Error = PeerMisbehaved::IllegalTlsInnerPlaintext.into();
        assert_eq!(unpadded(&[0; 16_385]), Err(refused));
        let mut most = vec![23; 16_385];
        assert_eq!(unpadded(&most), Ok((ContentType::ApplicationData, 16_384)));
        most.push(0);
        assert_eq!(unpadded(&most), Err(Error::PeerSentOversizedRecord));
    }

    #[test]
    fn more_than_a_record_holds_is_not_sealed() {
        for mut key in keys(CLIENT_KEY, CLIENT_VECTOR, 0) {
            let (plain, mut room) = (vec![0; RECORD_BYTES_MAX + 1], vec![0; 20_000]);
            assert!(key.seal(ContentType::ApplicationData, &plain, &mut room).is_err());
            assert!(key.seal(ContentType::ApplicationData, b"abc", &mut room[..24]).is_err());
            assert_eq!((key.sequence, room), (0, vec![0; 20_000]));
        }
    }

    #[test]
    fn every_error_has_the_alert_of_the_rfc() {
        use AlertDescription::{
            BadRecordMac, DecodeError, IllegalParameter, InternalError, RecordOverflow,
            UnexpectedMessage,
        };
        let rows = [
            (Error::DecryptError, Some(BadRecordMac)),
            (Error::PeerSentOversizedRecord, Some(RecordOverflow)),
            (InvalidMessage::InvalidKeyUpdate.into(), Some(IllegalParameter)),
            (InvalidMessage::InvalidContentType.into(), Some(UnexpectedMessage)),
            (InvalidMessage::InvalidEmptyPayload.into(), Some(UnexpectedMessage)),
            (InvalidMessage::MessageTooShort.into(), Some(DecodeError)),
            (PeerMisbehaved::IllegalTlsInnerPlaintext.into(), Some(UnexpectedMessage)),
            (Error::EncryptError, Some(InternalError)),
            (Error::AlertReceived(DecodeError), None),
        ];
        for (error, alert) in rows {
            assert_eq!(alert_of(&error), alert, "{error:?}");
        }
    }
}

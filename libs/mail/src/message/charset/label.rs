use encoding_rs::{
    BIG5, EUC_JP, EUC_KR, Encoding, GB18030, GBK, ISO_2022_JP, ISO_8859_8_I, KOI8_R, KOI8_U,
    MACINTOSH, SHIFT_JIS, WINDOWS_874, X_MAC_CYRILLIC,
};
use oem_cp::code_table::DECODING_TABLE_CP_MAP;
use oem_cp::code_table_type::TableType;

/// Longer names of character sets are none.
const MAX_LABEL: usize = 64;

/// A character set that mail is read in.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Charset {
    Ascii,
    Utf8,
    /// One of the sets that browsers know.
    Known(&'static Encoding),
    Dos(DosPage),
    Iso2022Kr,
    Iso2022Cn,
    Hz,
    Utf7,
    Utf16(ByteOrder),
    Utf32(ByteOrder),
}

/// Which octet of a number comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ByteOrder {
    Little,
    Big,
    /// To be told from the octets.
    Unsaid,
}

/// A code page of DOS, by its table of the upper 128 characters.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DosPage(&'static TableType);

impl DosPage {
    pub(super) fn decode(self, octets: &[u8]) -> String {
        self.0.decode_string_lossy(octets)
    }
}

impl Charset {
    /// Returns the set that a label in a mail means; `None` when nobody knows it, or it says nothing.
    pub(crate) fn named(label: &str) -> Option<Self> {
        let label = label.trim_matches(|character: char| !character.is_ascii_alphanumeric());
        if label.is_empty() || label.len() > MAX_LABEL {
            return None;
        }
        let plain: String = label
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .map(|character| character.to_ascii_lowercase())
            .collect();
        beyond_browsers(&plain)
            .or_else(|| by_label(label))
            .or_else(|| iso_8859(&plain))
            .or_else(|| code_page(&plain))
    }
}

/// Labels that browsers do not know, or take for other sets than mail does.
fn beyond_browsers(plain: &str) -> Option<Charset> {
    let plain = plain.strip_prefix("cs").unwrap_or(plain);
    let plain = plain.strip_prefix("unicode11").unwrap_or(plain);
    Some(match plain {
        "ascii" | "usascii" | "us" | "7bit" | "ansix341968" | "ansix341986" | "iso646us"
        | "isoir6" => Charset::Ascii,
        "utf16" | "ucs2" | "unicode" | "iso10646ucs2" => Charset::Utf16(ByteOrder::Unsaid),
        "utf16le" | "ucs2le" => Charset::Utf16(ByteOrder::Little),
        "utf16be" | "ucs2be" | "unicodefffe" => Charset::Utf16(ByteOrder::Big),
        "utf32" | "ucs4" | "iso10646ucs4" => Charset::Utf32(ByteOrder::Unsaid),
        "utf32le" => Charset::Utf32(ByteOrder::Little),
        "utf32be" => Charset::Utf32(ByteOrder::Big),
        "utf7" | "xutf7" => Charset::Utf7,
        "iso2022kr" => Charset::Iso2022Kr,
        "iso2022cn" | "iso2022cnext" => Charset::Iso2022Cn,
        "hz" | "hzgb2312" | "hzgb" => Charset::Hz,
        "jis" | "jis7" => Charset::Known(ISO_2022_JP),
        "sjis" | "shiftjis" | "xsjis" | "windows31j" | "mskanji" | "sjisopen" | "sjiswin" => {
            Charset::Known(SHIFT_JIS)
        }
        "eucjp" | "ujis" | "xeucjp" | "eucjpms" | "eucjpwin" => Charset::Known(EUC_JP),
        "euckr" | "uhc" | "ksc5601" | "ksx1001" | "korean" => Charset::Known(EUC_KR),
        "euccn" | "cngb" | "gb2312" | "gb231280" | "gbk" | "xgbk" => Charset::Known(GBK),
        "gb18030" | "xgb18030" | "gb180302000" | "gb180302005" | "gb180302022" => {
            Charset::Known(GB18030)
        }
        "big5" | "cnbig5" | "big5hkscs" | "big5eten" | "big52003" | "xbig5" => Charset::Known(BIG5),
        "macroman" | "xmacroman" | "macintosh" | "mac" => Charset::Known(MACINTOSH),
        "maccyrillic" | "xmacukrainian" | "macukrainian" => Charset::Known(X_MAC_CYRILLIC),
        "tis620" | "tis6202533" => Charset::Known(WINDOWS_874),
        "koi8" | "koi8r" => Charset::Known(KOI8_R),
        "koi8u" | "koi8ru" => Charset::Known(KOI8_U),
        // As in `utf8mb4` and `de_DE.UTF-8`.
        _ if plain.starts_with("utf8") || plain.ends_with("utf8") => Charset::Utf8,
        _ if plain.starts_with("iso2022jp") => Charset::Known(ISO_2022_JP),
        _ if plain.starts_with("ksc5601") => Charset::Known(EUC_KR),
        _ => return None,
    })
}

fn by_label(label: &str) -> Option<Charset> {
    let hyphened = label.replace(['_', ' '], "-");
    Encoding::for_label_no_replacement(label.as_bytes())
        .or_else(|| Encoding::for_label_no_replacement(hyphened.as_bytes()))
        .map(Charset::Known)
}

/// Reads `ISO8859-2`, `8859_15`, `x-iso-8859-8-i`, `latin2` and the like.
fn iso_8859(plain: &str) -> Option<Charset> {
    let part: u16 = if let Some((_, part)) = plain.split_once("8859") {
        let part = part.trim_start_matches('0');
        if part.starts_with("8i") {
            return Some(Charset::Known(ISO_8859_8_I));
        }
        let end = part.find(|character: char| !character.is_ascii_digit());
        part.get(..end.unwrap_or(part.len()))?.parse().ok()?
    } else {
        // ECMA's numbers of the Latin alphabets are not those of the parts.
        match plain.split_once("latin")?.1 {
            "1" => 1,
            "2" => 2,
            "3" => 3,
            "4" => 4,
            "5" => 9,
            "6" => 10,
            "7" => 13,
            "8" => 14,
            "9" | "0" => 15,
            "10" => 16,
            _ => return None,
        }
    };
    Encoding::for_label_no_replacement(format!("iso-8859-{part}").as_bytes()).map(Charset::Known)
}

/// Reads the numbers that Windows and IBM give to character sets, such as `cp932`, `IBM437` or `win-1251`.
fn code_page(plain: &str) -> Option<Charset> {
    let digits = plain.trim_start_matches(|character: char| !character.is_ascii_digit());
    let prefix = plain.strip_suffix(digits)?;
    let digits = digits.strip_suffix("multilingual").unwrap_or(digits);
    let digits = digits.strip_prefix("8codepage").unwrap_or(digits);
    let is_known_prefix = matches!(
        prefix.trim_start_matches("cs").trim_start_matches('x'),
        "" | "cp"
            | "codepage"
            | "windows"
            | "win"
            | "ibm"
            | "ms"
            | "dos"
            | "oem"
            | "ansi"
            | "ccsid"
            | "pc"
            | "pcp"
    );
    let number: u16 = digits.parse().ok().filter(|_| is_known_prefix)?;
    let label = match number {
        367 | 20127 => return Some(Charset::Ascii),
        65001 => return Some(Charset::Utf8),
        65000 => return Some(Charset::Utf7),
        1200 => return Some(Charset::Utf16(ByteOrder::Little)),
        1201 => return Some(Charset::Utf16(ByteOrder::Big)),
        12000 => return Some(Charset::Utf32(ByteOrder::Little)),
        12001 => return Some(Charset::Utf32(ByteOrder::Big)),
        50225 => return Some(Charset::Iso2022Kr),
        50227 | 50229 => return Some(Charset::Iso2022Cn),
        52936 => return Some(Charset::Hz),
        874 => "windows-874".to_owned(),
        932 | 942 | 943 => "shift_jis".to_owned(),
        936 | 1386 | 20936 | 51936 => "gbk".to_owned(),
        54936 => "gb18030".to_owned(),
        949 | 970 | 1361 | 20949 | 51949 => "euc-kr".to_owned(),
        950 | 951 => "big5".to_owned(),
        50220..=50222 => "iso-2022-jp".to_owned(),
        20932 | 51932 => "euc-jp".to_owned(),
        20866 | 878 => "koi8-r".to_owned(),
        21866 | 1168 => "koi8-u".to_owned(),
        866 => "ibm866".to_owned(),
        10000 => "macintosh".to_owned(),
        10007 | 10017 => "x-mac-cyrillic".to_owned(),
        819 => "iso-8859-1".to_owned(),
        912 => "iso-8859-2".to_owned(),
        915 => "iso-8859-5".to_owned(),
        813 => "iso-8859-7".to_owned(),
        920 => "iso-8859-9".to_owned(),
        923 => "iso-8859-15".to_owned(),
        38598 => "iso-8859-8-i".to_owned(),
        28591..=28606 => format!("iso-8859-{}", number - 28590),
        1250..=1258 => format!("windows-{number}"),
        _ => {
            return DECODING_TABLE_CP_MAP
                .get(&number)
                .map(|table| Charset::Dos(DosPage(table)));
        }
    };
    Encoding::for_label_no_replacement(label.as_bytes()).map(Charset::Known)
}

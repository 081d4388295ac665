<?php
// Collects a certificate with Guzzle, and reads the replies by name with PHP's own parse_str. Reads a task (JSON) from
// standard input and prints what it got, as with_tapioca.py does.

declare(strict_types=1);

const AUTOLOAD = 'GuzzleHttp/autoload.php';

if (stream_resolve_include_path(AUTOLOAD) === false || !extension_loaded('curl')) {
    fwrite(STDERR, "install Debian's packages php-curl and php-guzzlehttp-guzzle\n");
    exit(1);
}
require AUTOLOAD;

$task = json_decode(stream_get_contents(STDIN), true, 8, JSON_THROW_ON_ERROR);
$client = new GuzzleHttp\Client(['verify' => $task['ca_file'], 'timeout' => 20]);

$call = function (int $queryType) use ($client, $task): array {
    $form = $task['form'] + ['queryType' => $queryType, 'responseType' => 3, 'responseFormat' => 1];
    $body = (string) $client->post($task['endpoint'], ['form_params' => $form])->getBody();
    // Of a name that comes more than once parse_str keeps the last value, unless the name says that it is a list.
    parse_str(str_replace('caCertificate=', 'caCertificate[]=', $body), $reply);
    if (!isset($reply['errorCode'])) { // errors come newline-delimited too
        [$code, $message] = preg_split('/\R/', $body);
        $reply = ['errorCode' => $code, 'errorMessage' => $message];
    }
    return $reply;
};

$statuses = [];
do {
    $reply = $call(0);
    $statuses[] = (int) $reply['errorCode'];
} while (end($statuses) === 0);
if (end($statuses) > 0) {
    $reply = $call(1);
    $statuses[] = (int) $reply['errorCode'];
}
echo json_encode([
    'statuses' => $statuses,
    'certificate' => isset($reply['certificate']) ? [$reply['certificate']] : [],
    'caCertificate' => $reply['caCertificate'] ?? [],
], JSON_THROW_ON_ERROR);
